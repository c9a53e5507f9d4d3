module cases

go 1.27

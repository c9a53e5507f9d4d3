module shaddock

go 1.27

module {{crate}}

go 1.27

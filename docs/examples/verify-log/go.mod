module verify-log

go 1.24

require golang.org/x/mod v0.36.0

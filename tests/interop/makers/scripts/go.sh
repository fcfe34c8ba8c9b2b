go run makers.go "$KIND"

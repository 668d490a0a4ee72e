#!/usr/bin/env bash
# How many steps of the protocol a participant takes from answer to answer, while others are stopped at random and continued,
# or frozen at an instruction of a verb: more than 100,000 fail. How long it took is told as well, but it decides nothing: the
# machine has its part in that. Builds the library with a hook before each atomic operation, in a target directory of its own,
# as ci/pairs.sh does.
#
#   ci/stalls.sh [STOPS [STRIDE]]   stops in each of three storms, by default 10,000; every STRIDEth instruction, by default all
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg slipring_steps"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/steps"
cargo test --locked --release -q -p slipring-faults --test steps
faults() { cargo run --locked --release -q -p slipring-faults -- "$@"; }
for ring in '--spsc' '--senders 2 --receivers 1' '--senders 3 --receivers 3'; do
  # Words of an option each.
  # shellcheck disable=SC2086
  faults storm $ring --kills 0 --stops "${1:-10000}" --wait poll
done
faults stops --stride "${2:-1}"

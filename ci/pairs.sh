#!/usr/bin/env bash
# Faults between any two steps of the protocol: two victims, and a victim and who sweeps it. Builds the library with a hook
# before each atomic operation, in a target directory of its own.
#
#   ci/pairs.sh [STRIDE]    every STRIDEth pair of steps, by default all
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg slipring_steps"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/steps"
exec cargo run --locked --release -p slipring-faults -- pairs --stride "${1:-1}"

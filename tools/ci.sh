#!/usr/bin/env bash
# Everything that must hold besides `cargo test`, one step after the other.
#
#   ci.sh            all steps; each is run even if one before it failed
#   ci.sh STEP...    those steps, up to the first that fails
#
# The steps are the functions step_* below. What they need from Debian is
# installed by .ci/run.
set -euo pipefail

tools=$(cd "$(dirname "$0")" && pwd)
cd "$tools/.."

steps=(fmt clippy core doc shell memory kills interop sctp fuzz bench load instructions)

# Long enough to show that each target runs and finds nothing at once; real
# fuzzing is tools/fuzz/run with more seconds.
fuzz_seconds=10
# Long enough to show that each benchmark runs and its answers are right; the
# figures of such a run mean little.
bench_options=(--warm-up-time 0.3 --measurement-time 0.5 --sample-size 10 --noplot)

# Several times what the SCTP tests take in an emulated guest.
guest_seconds=300

# Crates that the core must be built without: it has no socket, no task and no
# terminal.
shell_crates='tokio|tokio-rustls|tokio-util|mio|rustls|socket2|x509-parser|clap|notify|tracing-subscriber'

step_fmt() {
    cargo fmt --check
    cargo fmt --check --manifest-path tools/fuzz/Cargo.toml
}

step_clippy() {
    cargo clippy --all-targets -- -D warnings
    cargo clippy --no-default-features --lib -- -D warnings
}

step_core() {
    cargo check --no-default-features --lib
    local tree
    tree=$(cargo tree --no-default-features --edges normal --prefix none --format '{p}')
    if grep -E "^($shell_crates) " <<<"$tree"; then
        echo "ci.sh: the core depends on these crates" >&2
        return 1
    fi
}

step_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --no-default-features --lib
}

# Every script of the repository, found by its first line.
step_shell() {
    local scripts
    mapfile -t scripts < <(grep -rIlE '^#!.*\bbash$' .ci tools \
        --exclude-dir target --exclude-dir corpus --exclude-dir artifacts | sort)
    echo "shellcheck: ${scripts[*]}"
    shellcheck "${scripts[@]}"
}

# The unsafe code of the core (mappings, prefetches, comparisons of whole lines)
# under valgrind's memory checker; that of SCTP needs a kernel that has it.
step_memory() {
    local tests
    tests=$(cargo test --lib --no-run --message-format json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    valgrind --quiet --error-exitcode=9 "$tests" --test-threads 1 \
        equipment::devices::pages equipment::devices::line equipment::devices::processor
}

# A server that is killed at two hundred moments of a stream of changes.
step_kills() {
    WEIR_KILLS=200 cargo test --test cli kills_lose_nothing
}

step_interop() {
    tools/interop/tshark-check-test
    tools/interop/run
}

# In a guest with SCTP where this kernel has none; the SCTP tests of `cargo test`
# say there that they were skipped.
step_sctp() {
    if modprobe sctp 2>/dev/null || [ -d /proc/net/sctp ]; then
        cargo test --test sctp
    else
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$tools/sctp-vm --timeout $guest_seconds --" \
            cargo test --test sctp
    fi
    tools/interop/run --sctp
    # In the guest even where this kernel has SCTP: its clock counts instructions.
    tools/load/sctp quick
}

step_fuzz() {
    tools/fuzz/run "$fuzz_seconds"
}

# The load generator, and that it finds every answer right; figures of so short
# runs mean nothing.
step_load() {
    local manifest=tools/load/Cargo.toml
    cargo fmt --check --manifest-path "$manifest"
    cargo fmt --check --manifest-path tools/load/peers/rust/Cargo.toml
    cargo clippy --all-targets --manifest-path "$manifest" -- -D warnings
    cargo test --manifest-path "$manifest"
    # No open loop: its rate may be too high for a busy machine. No peers: what
    # they do is not tested here.
    PAIRS=1 RUN_SECONDS=0.5 tools/load/run closed tls crowd
}

step_bench() {
    cargo bench --bench '*' -- "${bench_options[@]}"
}

# A verdict takes no more instructions than it did, and a feature that is not
# used takes none.
step_instructions() {
    tools/instructions
}

if [ $# -gt 0 ]; then
    for step in "$@"; do
        if ! declare -F "step_$step" >/dev/null; then
            echo "ci.sh: no step '$step'; there are: ${steps[*]}" >&2
            exit 2
        fi
        "step_$step"
    done
    exit 0
fi

# Each step is a run of this script of its own: a function called in a condition
# would lose `set -e`.
failed=()
for step in "${steps[@]}"; do
    printf '=== %s\n' "$step"
    start=$SECONDS
    if "$tools/ci.sh" "$step"; then
        printf '=== %s: passed after %d s\n' "$step" $((SECONDS - start))
    else
        printf '=== %s: FAILED after %d s\n' "$step" $((SECONDS - start))
        failed+=("$step")
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'ci.sh: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
printf 'ci.sh: all of %s passed after %d s\n' "${steps[*]}" "$SECONDS"

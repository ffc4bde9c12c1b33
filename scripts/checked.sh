# For scripts/test, scripts/fuzz and scripts/diff, which source it: the build of the tests. Release, since the model
# takes a million steps and the memory tests move gigabytes; with debug assertions, which is where the invariants are;
# not optimised across crates, which takes longer than it saves. It has a folder of its own under target/, whose
# dependencies are built once for all of them.
# shellcheck shell=bash

checked_target=${CARGO_TARGET_DIR:-target}/test

# Cargo, for that build: its command and the command's own arguments.
checked() {
    local command=$1
    shift
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo "$command" --locked --target-dir "$checked_target" "$@"
}

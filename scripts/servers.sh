# For scripts/hit-ratio and scripts/density, which source it: nuthatch and its peers, each started
# afresh with two threads and a limit in megabytes, on a port of its own, and stopped by its pid.
#
# Environment: NUTHATCH, another binary in nuthatch's place; PORT, the first port that is used.
# shellcheck shell=bash
me=$(basename "$0") port=${PORT:-21911}
servers=() names=() pids=()

complain() { echo "$me: $*" >&2; }
mistake() { complain "$*"; exit 2; }

# Builds, and makes `servers` of nuthatch and the peers that are given: memcached where there is none.
# Call it where the script was started: paths are relative to that.
gather_servers() {
    [ $# -gt 0 ] || set -- memcached
    local peer
    for peer; do
        command -v "$peer" >/dev/null || mistake "no $peer; name a server with --peer"
        servers+=("$(realpath -s "$(command -v "$peer")")")
    done
    [ -z "${NUTHATCH:-}" ] || NUTHATCH=$(realpath -s "$NUTHATCH")
    cd "$(dirname "$0")/.."
    cargo build --locked --release --quiet
    local built
    built=$(realpath "${CARGO_TARGET_DIR:-target}")/release
    trace=$built/nuthatch-trace
    servers=("${NUTHATCH:-$built/nuthatch}" "${servers[@]}")
    local server name
    for server in "${servers[@]}"; do
        name=$(basename "$server")
        # The whole path where two would be called the same.
        [[ " ${names[*]} " != *" $name "* ]] || name=$server
        names+=("$name")
    done
}

# Names and versions, and of what commit the script is.
heading() {
    local i text=
    for i in "${!servers[@]}"; do
        text+="${text:+, }${names[i]} ($("${servers[i]}" -V | head -1))"
    done
    echo "$text, -t 2, $(git describe --always --dirty)"
}

listening() { (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Starts server $1 with $2 megabytes. It listens when this returns.
start_server() {
    local own=$((port + $1)) deadline=$((SECONDS + 10))
    if listening "$own"; then complain "port $own is in use; set PORT"; exit 2; fi
    "${servers[$1]}" -l 127.0.0.1 -p "$own" -t 2 -m "$2" -u "$(id -un)" 2>/dev/null &
    pids[$1]=$!
    until listening "$own"; do
        if ! kill -0 "${pids[$1]}" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            complain "${servers[$1]} does not listen with -m $2"
            exit 2
        fi
    done
}

stop_server() {
    [ -z "${pids[$1]:-}" ] || { kill "${pids[$1]}" && wait "${pids[$1]}"; } 2>/dev/null || true
    pids[$1]=
}

# Resident bytes of server $1, which runs. Not asked of the server: not every one tells its pid.
resident_bytes() { awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/${pids[$1]}/status"; }

stop_servers() {
    local i
    for i in "${!pids[@]}"; do stop_server "$i"; done
}

field() { sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" <<<"$1"; }

# An expression over numbers, by printf's format $1.
calc() { awk "BEGIN { printf \"$1\", $2 }"; }

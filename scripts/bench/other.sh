# For scripts/bench-vs, which sources it: rows that are not one load on each server.
# shellcheck shell=bash
# Each appends to `others`: row, figure, server, pair, value. See also measure.sh.

note() { echo "$*" >>"$others"; }

row_idle() { row_of get; measure_idle idle "$@"; }

row_tls-idle() { row_of tls-get; measure_idle tls-idle "$@"; }

# Resident bytes for each of 10,000 connections that have all asked once. A load before them has the
# server's buffers made.
measure_idle() {
    local row=$1 who=$2 pair=$3 report
    start "$who" 2 1024
    run_load "$who" --fill --clients 50 --requests 20000 >/dev/null
    report=$(run_load "$who" --clients 10000 --requests 10000)
    stop
    note "$row" rss-bytes-each "$who" "$pair" \
        "$(calc %.1f "($(field "$report" server_rss_bytes) - $(field "$report" server_rss_before_bytes)) / 10000")"
}

# pipe-get and pipe-set with one thread and with two. Both cores have a server's thread and one of the
# load, so that it is the CPU an operation that tells.
row_scaling() {
    local who=$1 pair=$2 row threads report
    for row in pipe-get pipe-set; do
        row_of $row
        for threads in 1 2; do
            start "$who" $threads "$mb"
            report=$(load_cores=0,1 run_row "$who" --threads 2)
            stop
            record "$row-t$threads" "$who" "$pair" "$report"
        done
    done
}

# SET and GET of 200 B, one by one and in pipelines, on one full cache: gets find what was stored last,
# sets evict.
row_set-vs-get() {
    local who=$1 pair=$2 threads depth report load_cores=1
    for threads in 1 2; do
        [ $threads = 1 ] || load_cores=0,1
        for depth in 1 20; do
            row_of evict-set
            start "$who" $threads "$mb"
            run_load "$who" --fill --clients 20 --requests 0 >/dev/null
            report=$(prefix=hot: keys=100000 run_load "$who" --fill --seconds "$seconds" --clients 50 \
                --depth $depth --mix get)
            record "full-get-$threads-$depth" "$who" "$pair" "$report"
            report=$(run_load "$who" --seconds "$seconds" --clients 50 --depth $depth --mix set)
            stop
            record "full-set-$threads-$depth" "$who" "$pair" "$report"
        done
    done
}

# The open loop: at 70 % of what the server does in the closed one, and at 70 % of what the peer does, as
# it was measured last.
row_latency() {
    local who=$1 pair=$2 capacity
    row_of get
    start "$who" 1 "$mb"
    capacity=$(field "$(run_row "$who")" requests_per_second)
    measure_open latency-own "$who" "$pair" "$capacity"
    if [ "$who" = peer ]; then
        peer_capacity=$capacity
    elif [ -n "${peer_capacity:-}" ]; then
        measure_open latency-same "$who" "$pair" "$peer_capacity"
    fi
    stop
}

measure_open() {
    local row=$1 who=$2 pair=$3 rate report
    rate=$(calc %.0f "$4 * 0.7")
    report=$(run_load "$who" --seconds "$(calc %.1f "2 * $seconds")" --clients 50 --mix get --rate "$rate")
    record "$row" "$who" "$pair" "$report"
    note "$row" requests-not-sent "$who" "$pair" "$(field "$report" unsent)"
}

# Calls of the system for each request, all threads, unpipelined and 50 deep.
row_syscalls() {
    local who=$1 pair=$2 traced=()
    row_of get
    count_calls "$who" 1 20000 --clients 50 --mix get
    note syscalls-50-clients calls-a-request "$who" "$pair" "$calls"
    row_of pipe-get
    count_calls "$who" 1 200000 --clients 20 --depth 50 --mix get
    note syscalls-depth-50 calls-a-request "$who" "$pair" "$calls"
}

# Calls of futex for each request, with two threads that meet in gets and sets.
row_futex() {
    local who=$1 pair=$2 traced
    row_of mix-9-1
    traced=(-e trace=futex)
    count_calls "$who" 2 200000 --clients 50 --threads 2 --mix get=9,set=1
    note futex-50-clients waits-a-request "$who" "$pair" "$calls"
    traced=(-e trace=futex)
    count_calls "$who" 2 2000000 --clients 20 --depth 20 --threads 2 --mix get=1,set=1
    note futex-depth-20 waits-a-request "$who" "$pair" "$calls"
}

# Sets `calls` to the calls, those that `traced` says, for each of $3 requests that a server with $2 threads makes.
count_calls() {
    local who=$1 threads=$2 requests=$3 tracer table
    shift 3
    start "$who" "$threads" "$mb"
    run_load "$who" --fill --requests 0 --clients 20 >/dev/null
    table=$(mktemp)
    strace -c -f -o "$table" -p "$server_pid" "${traced[@]}" 2>/dev/null &
    tracer=$!
    until traced_all; do
        kill -0 $tracer 2>/dev/null || mistake "strace cannot look at the server"
    done
    run_load "$who" --requests "$requests" "$@" >/dev/null
    kill -INT $tracer
    wait $tracer || true
    stop
    calls=$(awk -v requests="$requests" '$NF == "total" { total = $4 }
        END { printf "%.6f", total / requests }' "$table")
    rm -f "$table"
}

# Whether each thread of the server has its tracer.
traced_all() { ! grep -q '^TracerPid:.0$' "/proc/$server_pid/task/"*/status; }

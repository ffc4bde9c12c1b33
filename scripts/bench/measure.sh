# For scripts/bench-vs, which sources it: one server at a time, and one load on it.
# shellcheck shell=bash
# `binaries` names the server of each of: nuthatch, peer, pogocache, floor. `port`, `seconds`, `load`,
# `speed`, `made` and the row's variables are set where this is sourced.
declare -A binaries
server_pid=

# Makes a certificate of kind $1 for this machine, once, and its key: $made/$1.crt and .key.
certify() {
    local kind=$1 key
    [ ! -e "$made/$kind.crt" ] || return 0
    case $kind in
    p256) key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256) ;;
    rsa2048) key=(-newkey rsa:2048) ;;
    esac
    openssl req -x509 "${key[@]}" -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$made/$kind.key" -out "$made/$kind.crt" 2>/dev/null || mistake "openssl makes no $kind certificate"
}

# Starts server $1 with $2 threads and $3 megabytes. It listens when this returns.
start() {
    local who=$1 threads=$2 limit=$3 cores=0 deadline=$((SECONDS + 10)) arguments
    ! listening "$port" || mistake "port $port is in use; set PORT"
    case $who in
    pogocache) arguments=(-h 127.0.0.1 --threads "$threads" --maxmemory "${limit}mb" --maxconns "$CONNS") ;;
    floor) arguments=(--key "${prefix}10000" --value-size "$value") ;;
    *) arguments=(-l 127.0.0.1 -t "$threads" -m "$limit" -c "$CONNS" -u "$(id -un)") ;;
    esac
    [ "$threads" = 1 ] || cores=0,1
    if [ -n "$tls" ]; then
        certify "$tls"
        arguments+=(-Z -o "ssl_chain_cert=$made/$tls.crt,ssl_key=$made/$tls.key")
    fi
    taskset -c $cores "${binaries[$who]}" -p "$port" "${arguments[@]}" >/dev/null 2>&1 &
    server_pid=$!
    until listening "$port"; do
        if ! kill -0 "$server_pid" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            mistake "${binaries[$who]} does not listen"
        fi
    done
}

stop() {
    [ -z "$server_pid" ] || { kill "$server_pid" && wait "$server_pid"; } 2>/dev/null || true
    server_pid=
}

# Runs our load with these options more and prints what it reports. Our values of a server are checked
# but where a row says no; the floor has one value, of one key.
run_load() {
    local who=$1 named=("--keys" "$keys" "--key-prefix" "$prefix") report
    shift
    if [ "$who" = floor ]; then
        named=("--keys" 1 "--key-prefix" "${prefix}1000")
        [[ " $* " == *" --no-verify "* ]] || named+=(--no-verify)
    fi
    [ -z "$tls" ] || named+=(--tls)
    report=$(taskset -c "${load_cores:-1}" "$load" --server "127.0.0.1:$port" --server-pid "$server_pid" \
        --json --value-size "fixed:$value" "${named[@]}" "$@") ||
        mistake "the load failed on ${binaries[$who]}: $report"
    echo "$report"
}

# The row's load, after a fill, for `seconds`; more options may follow.
run_row() {
    local who=$1
    shift
    # shellcheck disable=SC2086 # the shape is several words
    run_load "$who" --fill --seconds "$seconds" $shape "$@"
}

# Appends to `speed`: row, server, pair, CPU in us an operation, operations a second, p50, p99 and p99.9
# in us, hits, misses, errors.
record() {
    local row=$1 who=$2 pair=$3 report=$4
    [ "$(field "$report" requests)" -gt 0 ] || mistake "$row: no requests"
    echo "$row $who $pair $(field "$report" server_cpu_us) $(field "$report" requests_per_second)" \
        "$(field "$report" p50_us) $(field "$report" p99_us) $(field "$report" p999_us)" \
        "$(field "$report" hits) $(field "$report" misses) $(field "$report" errors)" >>"$speed"
}

measure_ours() {
    local row=$1 who=$2 pair=$3 report
    start "$who" 1 "$mb"
    report=$(run_row "$who")
    stop
    record "$row" "$who" "$pair" "$report"
}

# Processor time of the server so far, in ns.
cpu_ns() { cat "/proc/$server_pid/task/"*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }

# Keys read and written, and errors, as the server counts them: operations hits misses.
server_counts() {
    local conn
    exec {conn}<>"/dev/tcp/127.0.0.1/$port"
    printf 'stats\r\nquit\r\n' >&"$conn"
    tr -d '\r' <&"$conn" | awk '/^STAT (cmd_get|cmd_set) / { all += $3 } $2 == "get_hits" { hits = $3 }
        $2 == "get_misses" { misses = $3 } END { printf "%.0f %.0f %.0f", all, hits, misses }'
    exec {conn}>&-
}

# Row $1 by the load $2, memtier or crusher: operations are counted by the server, keys one by one.
measure_foreign() {
    local row=$1 by=$2 who=$3 pair=$4 before after cpu begun us latencies='- - -'
    [ "$by" != memtier ] || prefix=memtier-
    start "$who" 1 "$mb"
    # One key more than the row has: the other loads count keys from 1.
    keys=$((keys + 1)) run_load "$who" --fill --requests 0 --clients 20 >/dev/null
    read -r -a before <<<"$(server_counts)"
    begun=${EPOCHREALTIME/./} cpu=$(cpu_ns)
    us=''
    "run_$by"
    cpu=$(($(cpu_ns) - cpu)) us=${us:-$((${EPOCHREALTIME/./} - begun))}
    read -r -a after <<<"$(server_counts)"
    stop
    local ops=$((after[0] - before[0]))
    [ $ops -gt 0 ] || mistake "$row: $by asked ${binaries[$who]} for nothing"
    echo "$row/$by $who $pair $(calc %.4f "$cpu / 1000 / $ops") $(calc %.1f "$ops * 1e6 / $us")" \
        "$latencies $((after[1] - before[1])) $((after[2] - before[2])) 0" >>"$speed"
}

whole_seconds() { calc %.0f "int($seconds + 0.999)"; }

# Sets `latencies`, in us. It may stay for a second after its last operation, so its time is what it was
# told to take.
run_memtier() {
    local report
    # shellcheck disable=SC2086 # options
    report=$(taskset -c 1 "$MEMTIER" -s 127.0.0.1 -p "$port" $memtier -t 1 -d "$value" --key-minimum 1 \
        --key-maximum "$keys" --key-pattern R:R --test-time "$(whole_seconds)" --hide-histogram \
        --print-percentiles 50,99,99.9 2>/dev/null) || mistake "memtier_benchmark failed: $report"
    us=$(($(whole_seconds) * 1000000))
    latencies=$(awk '$1 == "Totals" { print $6 * 1000, $7 * 1000, $8 * 1000 }' <<<"$report")
}

# Its connections are all that it has of what it asks for: answers are read and not looked at.
run_crusher() {
    local plan
    plan=$(mktemp)
    echo "$crusher,key_prefix=$prefix,key_prealloc=0,key_count=$keys,key_randomize=1" >"$plan"
    taskset -c 1 "$CRUSHER" --conf "$plan" --ip 127.0.0.1 --port "$port" \
        --timeout "$(whole_seconds)" >/dev/null 2>&1 || mistake "mc-crusher failed on $(cat "$plan")"
    rm -f "$plan"
}

# Enough for the row of idle connections, and for the spare ones of each server.
CONNS=12000

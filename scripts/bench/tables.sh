# For scripts/bench-vs, which sources it: the figures as tables.
# shellcheck shell=bash
# `speed` and `others` are files of figures; see `record` in measure.sh and `note` in other.sh.

# The median of the numbers that come in, by printf's format $1; nothing where none comes.
median() {
    sort -g | awk -v format="$1" '{ r[NR] = $1 }
        END { if (NR) printf format, NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2 }'
}

# Of each pair in `speed`: column $1 of row $2 on server $3, divided by that of row $4 on server $5.
pair_ratios() {
    awk -v column="$1" -v row="$2" -v who="$3" -v other_row="$4" -v other="$5" '
        $1 == row && $2 == who { over[$3] = $column }
        $1 == other_row && $2 == other { under[$3] = $column }
        END { for (pair in over) if (under[pair] > 0) print over[pair] / under[pair] }' "$speed"
}

ratio() { pair_ratios "$1" "$2" nuthatch "$2" "$3" | median %.2f; }

# Figures of `others`: row $1, figure $2, server $3.
figures() { awk -v row="$1" -v figure="$2" -v who="$3" '$1 == row && $2 == figure && $3 == who { print $5 }' "$others"; }

# "pass" or "FAIL": whether $1 is $2 (<= or >=) than $3; nothing where a number is missing.
verdict() {
    [ -z "$1" ] || [ -z "$3" ] || awk "BEGIN { print ($1 $2 $3) ? \"pass\" : \"FAIL\" }"
}

measured() { awk -v row="$1" '$1 == row { found = 1 } END { exit !found }' "$speed"; }

# Columns 4 to 8 of `speed` are CPU, throughput, p50, p99, p99.9.
ratio_table() {
    local row name by cpu rate pogo floor latencies
    echo "| row | load | server CPU an operation | bar | | throughput | p50 | p99 | p99.9 | CPU, over pogocache | bar | | CPU, over the floor | bar | |"
    echo "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for name in "${load_rows[@]}"; do
        row_of "$name"
        for by in nuthatch-load memtier crusher; do
            row=$name
            [ $by = nuthatch-load ] || row=$name/$by
            measured "$row" || continue
            cpu=$(ratio 4 "$row" peer) rate=$(ratio 5 "$row" peer)
            pogo=$(ratio 4 "$row" pogocache) floor=$(ratio 4 "$row" floor)
            latencies="$(ratio 6 "$row" peer) | $(ratio 7 "$row" peer) | $(ratio 8 "$row" peer)"
            echo "| $row | $by | $cpu | $bar | $(verdict "$cpu" '<=' $bar) | $rate | $latencies |" \
                "$pogo | $pogo_bar | $(verdict "$pogo" '<=' "$pogo_bar") |" \
                "$floor | $floor_bar | $(verdict "$floor" '<=' "$floor_bar") |"
        done
    done
}

# One line: name, figure, ours, the peer's, how ours is held against the bar.
other_line() { echo "| $1 | $2 | $3 | $4 | ${5:-} ${6:-} | $(verdict "$3" "${5:-}" "${6:-}") |"; }

other_table() {
    echo "| row | figure | nuthatch | peer | bar | |"
    echo "|---|---|---|---|---|---|"
    local row who line get set threads shape
    while read -r line; do
        read -r -a line <<<"$line"
        [ -z "$(figures "${line[0]}" "${line[1]}" nuthatch)" ] || other_line "${line[0]}" "${line[1]}" \
            "$(figures "${line[0]}" "${line[1]}" nuthatch | median "${line[2]}")" \
            "$(figures "${line[0]}" "${line[1]}" peer | median "${line[2]}")" '<=' "${line[3]}"
    done <<'END'
idle rss-bytes-each %.0f 400
tls-idle rss-bytes-each %.0f 12000
syscalls-50-clients calls-a-request %.3f 2.1
syscalls-depth-50 calls-a-request %.4f 0.06
futex-50-clients waits-a-request %.6f 0.0001
futex-depth-20 waits-a-request %.6f 0.0001
END
    for row in tls-accept tls-accept-rsa; do
        ! measured $row || other_line $row "handshakes a second, over the peer's" "$(ratio 5 $row peer)" '' '>=' 1.00
    done
    for row in latency-own latency-same; do
        ! measured $row || other_line $row "p99.9 in the open loop, over the peer's" \
            "$(pair_ratios 8 $row nuthatch latency-own peer | median %.2f)" '' '<=' 1.00
    done
    for row in pipe-get pipe-set; do
        ! measured $row-t2 || other_line "scaling, $row" "CPU an operation, -t 2 over -t 1" \
            "$(pair_ratios 4 $row-t2 nuthatch $row-t1 nuthatch | median %.2f)" \
            "$(pair_ratios 4 $row-t2 peer $row-t1 peer | median %.2f)"
    done
    if measured pipe-set-t2; then
        declare -A grows
        for who in nuthatch peer; do
            get=$(pair_ratios 4 pipe-get-t2 $who pipe-get-t1 $who | median %.4f)
            set=$(pair_ratios 4 pipe-set-t2 $who pipe-set-t1 $who | median %.4f)
            grows[$who]=$(calc %.2f "$set / $get")
        done
        other_line scaling "what -t 2 costs sets over what it costs gets" "${grows[nuthatch]}" "${grows[peer]}" '<=' 1.10
    fi
    for shape in 1-1 2-1 1-20 2-20; do
        measured full-set-$shape || continue
        row="set-vs-get, -t ${shape%-*}, ${shape#*-} deep"
        other_line "$row" "throughput, set over get" \
            "$(pair_ratios 5 full-set-$shape nuthatch full-get-$shape nuthatch | median %.2f)" '' '>=' 0.90
        other_line "$row" "CPU an operation, get over set" \
            "$(pair_ratios 4 full-get-$shape nuthatch full-set-$shape nuthatch | median %.2f)" '' '>=' 0.90
    done
}

raw_tables() {
    echo "| row | server | pair | CPU us | operations/s | p50 us | p99 us | p99.9 us | hits | misses | errors |"
    echo "|---|---|---|---|---|---|---|---|---|---|---|"
    sed 's/ / | /g; s/^/| /; s/$/ |/' "$speed"
    [ -s "$others" ] || return 0
    printf '\n| row | figure | server | pair | value |\n|---|---|---|---|---|\n'
    sed 's/ / | /g; s/^/| /; s/$/ |/' "$others"
}

# All of it, in the form of docs/benchmarks.md.
tables() {
    if [ -s "$speed" ]; then
        ratio_table
        echo
    fi
    if grep -qE '^(full|pipe-...-t|latency|tls-accept)' "$speed" || [ -s "$others" ]; then
        other_table
        echo
    fi
    raw_tables
}

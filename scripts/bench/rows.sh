# For scripts/bench-vs, which sources it: the rows, what load each is, and the bar that it has to meet.
# shellcheck shell=bash disable=SC2034 # the variables are read where this is sourced

# Rows of one load on each server, in the order of the table.
load_rows=(get mix-9-1 binary-get pipe-get pipe-set mget-50 mget-50-4M evict-set meta-get meta-set
    big-100k set-100k big-1M incr accept get-36+224 pipe-get-36+224
    tls-get tls-pipe tls-accept tls-accept-rsa)
# Rows that are measured in a way of their own.
other_rows=(idle tls-idle scaling set-vs-get latency syscalls futex)

# Sets what row $1 is:
#   shape     options of nuthatch-load but for keys and values
#   keys, prefix, value   of the data set; value in bytes
#   mb        of the servers
#   bar       server CPU an operation against memcached, at most
#   pogo_bar  the same against pogocache; empty: none, or a protocol that it does not speak
#   floor_bar the same against the floor; empty: shown only
#   tls       the server's kind of certificate, for rows over TLS 1.3; empty: plain
#   memtier, crusher   options or configuration of these loads, where they can do it
row_of() {
    keys=100000 prefix=key: value=100 mb=1024 pogo_bar='' floor_bar='' tls='' memtier='' crusher=''
    local pipes=recv=blind_read,conns=20 text='-P memcache_text'
    case $1 in
    get) shape="--clients 50 --mix get" bar=0.95 pogo_bar=1.00 floor_bar=1.10
        memtier="$text -c 50 --ratio 0:1" ;;
    mix-9-1) shape="--clients 50 --mix get=9,set=1" bar=0.95 pogo_bar=1.00
        memtier="$text -c 50 --ratio 1:9" ;;
    binary-get) shape="--clients 50 --protocol binary --mix get" bar=0.95
        memtier="-P memcache_binary -c 50 --ratio 0:1" ;;
    pipe-get) shape="--clients 20 --depth 50 --mix get" bar=0.60 pogo_bar=1.00
        memtier="$text -c 20 --pipeline 50 --ratio 0:1"
        crusher="send=ascii_get,$pipes,pipelines=50" ;;
    pipe-set) shape="--clients 20 --depth 20 --mix set" bar=0.50 pogo_bar=1.00
        memtier="$text -c 20 --pipeline 20 --ratio 1:0"
        crusher="send=ascii_set,$pipes,pipelines=20,value_size=100" ;;
    mget-50) shape="--clients 20 --mix mget:50" bar=0.60 pogo_bar=1.00
        crusher="send=ascii_mget,$pipes,mget_count=50" ;;
    mget-50-4M) shape="--clients 20 --mix mget:50" bar=0.60 keys=4000000 mb=2048
        crusher="send=ascii_mget,$pipes,mget_count=50" ;;
    evict-set) shape="--clients 20 --depth 20 --mix set" bar=0.50 pogo_bar=1.00
        keys=2000000 value=200 mb=64 memtier="$text -c 20 --pipeline 20 --ratio 1:0" ;;
    meta-get) shape="--clients 20 --depth 50 --protocol meta --mix get" bar=0.60 ;;
    meta-set) shape="--clients 20 --depth 20 --protocol meta --mix set" bar=0.60 ;;
    big-100k) shape="--clients 8 --mix get --no-verify" bar=1.00 pogo_bar=1.00
        keys=2000 value=100000 ;;
    set-100k) shape="--clients 8 --mix set" bar=1.00 keys=2000 value=100000 ;;
    big-1M) shape="--clients 8 --mix get --no-verify" bar=1.00 keys=200 value=1000000 ;;
    incr) shape="--clients 20 --depth 20 --mix incr" bar=0.60 pogo_bar=1.00 keys=100 ;;
    accept) shape="--clients 50 --reconnect --mix get" bar=1.00 ;;
    get-36+224) shape="--clients 50 --mix get" bar=0.95 prefix=$key_36 value=224 ;;
    pipe-get-36+224) shape="--clients 20 --depth 50 --mix get" bar=0.60 prefix=$key_36 value=224 ;;
    tls-get) shape="--clients 50 --mix get" bar=0.95 tls=p256 ;;
    tls-pipe) shape="--clients 20 --depth 50 --mix get" bar=0.80 tls=p256 ;;
    # Full handshakes, of which the throughput is to be no lower, too.
    tls-accept) shape="--clients 50 --reconnect --mix get" bar=1.00 tls=p256 ;;
    tls-accept-rsa) shape="--clients 50 --reconnect --mix get" bar=1.00 tls=rsa2048 ;;
    *) return 1 ;;
    esac
}

# With the five digits that nine of ten keys have, 36 bytes.
key_36=key:as-long-as-those-of-etc---:

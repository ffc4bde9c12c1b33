<?php
// Checks of PHP's memcached extension, over both protocols; clients_php.py runs each by its name.
//
//     php memcached.php text|binary HOST PORT NAME

declare(strict_types=1);

[, $protocol, $host, $port, $name] = $argv;
$checks = [];
const MIB = 1024 * 1024;
// The users of a daemon with SASL.
const USER = ['user', 'pass word'];
const READER = ['reader', 'reading'];

function check(string $name, callable $body): void
{
    $GLOBALS['checks'][$name] = $body;
}

// Run on a daemon with SASL.
function checkLogin(string $name, callable $body): void
{
    check($name, $body);
}

function same(mixed $got, mixed $expected): void
{
    if ($got !== $expected) {
        $text = substr(var_export($got, true), 0, 100) . ', expected ' . substr(var_export($expected, true), 0, 100);
        throw new Exception("got $text");
    }
}

function connect(array $options = [], array $login = []): Memcached
{
    global $protocol, $host, $port;
    $client = new Memcached();
    $client->setOptions($options + [
        Memcached::OPT_BINARY_PROTOCOL => $protocol === 'binary',
        Memcached::OPT_TCP_NODELAY => true,
        Memcached::OPT_CONNECT_TIMEOUT => 20000,
        Memcached::OPT_POLL_TIMEOUT => 20000,
    ]);
    if ($login) {
        same($client->setSaslAuthData(...$login), true);
    }
    same($client->addServer($host, (int) $port), true);
    return $client;
}

// Asserts that the last call failed, and how.
function failed(Memcached $client, mixed $answer, int $code): void
{
    same([$answer, $client->getResultCode()], [false, $code]);
}

// Moves the daemon's clock forward.
function advanceClock(int $secs): void
{
    global $host, $port;
    $connection = fsockopen($host, (int) $port);
    fwrite($connection, "debugtime $secs\r\n");
    same(fgets($connection), "OK\r\n");
    fclose($connection);
}

function noise(int $size): string
{
    mt_srand($size);
    $bytes = '';
    while (strlen($bytes) < $size) {
        $bytes .= pack('V', mt_rand());
    }
    return substr($bytes, 0, $size);
}

check('set_get_delete', function () {
    $client = connect();
    failed($client, $client->get('a'), Memcached::RES_NOTFOUND);
    same($client->set('a', '1'), true);
    same($client->get('a'), '1');
    same($client->delete('a'), true);
    failed($client, $client->delete('a'), Memcached::RES_NOTFOUND);
    same($client->get('computed', function ($client, $key, &$value) {
        $value = "$key computed";
        return true;
    }), 'computed computed');
    same($client->get('computed'), 'computed computed');
});

check('add_replace_append_prepend', function () {
    global $protocol;
    $client = connect([Memcached::OPT_COMPRESSION => false]);
    // The binary protocol tells why a replace is refused; text does not.
    $missing = $protocol === 'binary' ? Memcached::RES_NOTFOUND : Memcached::RES_NOTSTORED;
    failed($client, $client->replace('a', 'x'), $missing);
    failed($client, $client->append('a', 'x'), Memcached::RES_NOTSTORED);
    failed($client, $client->prepend('a', 'x'), Memcached::RES_NOTSTORED);
    same($client->add('a', '1'), true);
    same($client->add('a', '2'), false);
    same($client->replace('a', '3'), true);
    same($client->append('a', '>'), true);
    same($client->prepend('a', '<'), true);
    same($client->get('a'), '<3>');
});

check('cas', function () {
    $client = connect();
    $client->set('a', 1);
    $found = $client->get('a', null, Memcached::GET_EXTENDED);
    same($found['value'], 1);
    same($client->cas($found['cas'], 'a', 2), true);
    failed($client, $client->cas($found['cas'], 'a', 3), Memcached::RES_DATA_EXISTS);
    failed($client, $client->cas($found['cas'], 'missing', 3), Memcached::RES_NOTFOUND);
    same($client->get('a'), 2);
    $client->setMulti(['b' => 1, 'c' => 2]);
    $all = $client->getMulti(['b', 'c', 'missing'], Memcached::GET_EXTENDED);
    same([array_keys($all), $all['b']['value'], $all['c']['value']], [['b', 'c'], 1, 2]);
    same($client->cas($all['c']['cas'], 'c', 3), true);
});

check('incr_decr', function () {
    global $protocol;
    $client = connect();
    if ($protocol === 'binary') {
        same($client->increment('n', 1, 10, 100), 10);
    } else {
        failed($client, $client->increment('n'), Memcached::RES_NOTFOUND);
        $client->set('n', 10, 100);
    }
    same($client->increment('n', 5), 15);
    same($client->decrement('n'), 14);
    same($client->get('n'), $protocol === 'binary' ? '14' : 14);
    same($client->decrement('n', 100), 0);
    advanceClock(101);
    same($client->get('n'), false);
    $client->set('text', 'text');
    same($client->increment('text'), false);
    same(connect()->get('text'), 'text');
});

check('touch_and_expiry', function () {
    global $protocol;
    $client = connect();
    $client->setMulti(['a' => '1', 'short' => '1'], 100);
    $client->set('absolute', '1', time() + 1000);
    if ($protocol === 'text') { // the binary protocol has no negative time
        $client->set('past', '1', -1);
        same($client->get('past'), false);
    }
    same($client->touch('a', 1000), true);
    failed($client, $client->touch('missing', 1000), Memcached::RES_NOTFOUND);
    advanceClock(500);
    same($client->getMulti(['a', 'short', 'absolute']), ['a' => '1', 'absolute' => '1']);
    advanceClock(510);
    same($client->getMulti(['a', 'short', 'absolute']), []);
});

check('multi', function () {
    $client = connect();
    $items = [];
    for ($i = 0; $i < 1000; $i++) {
        $items["key$i"] = "value $i";
    }
    same($client->setMulti($items), true);
    $keys = array_keys($items);
    same($client->getMulti($keys, Memcached::GET_PRESERVE_ORDER), $items);
    same($client->getMulti(['missing', 'key1'], Memcached::GET_PRESERVE_ORDER), ['missing' => null, 'key1' => 'value 1']);
    $client->getDelayed($keys, true);
    $seen = array_column($client->fetchAll(), 'value', 'key');
    ksort($seen);
    ksort($items);
    same($seen, $items);
    $deleted = $client->deleteMulti([...$keys, 'missing']);
    same([$deleted['key0'], $deleted['missing']], [true, Memcached::RES_NOTFOUND]);
    same($client->getMulti($keys), []);
});

check('noreply_and_buffers', function () {
    $quiet = connect([Memcached::OPT_NOREPLY => true]);
    $buffered = connect([Memcached::OPT_BUFFER_WRITES => true]);
    for ($i = 0; $i < 500; $i++) {
        $quiet->set("quiet$i", $i);
        $buffered->set("buffered$i", $i);
    }
    for ($i = 0; $i < 500; $i++) {
        same($quiet->get("quiet$i"), $i);
        same($buffered->get("buffered$i"), $i);
    }
    for ($i = 0; $i < 500; $i++) {
        $quiet->delete("quiet$i");
    }
    same($quiet->get('quiet499'), false);
});

check('values', function () {
    foreach ([Memcached::SERIALIZER_PHP, Memcached::SERIALIZER_JSON_ARRAY, Memcached::SERIALIZER_IGBINARY] as $serializer) {
        $client = connect([Memcached::OPT_SERIALIZER => $serializer]);
        foreach (['text é', '', 42, -1, 1.5, true, false, null, ['list' => [1, null]], "\r\nEND\r\n\0"] as $value) {
            same($client->set('a', $value), true);
            same($client->get('a'), $value);
            same($client->getResultCode(), Memcached::RES_SUCCESS);
        }
    }
    $client->set('flagged', new ArrayObject([1, 2]));
    same(connect()->get('flagged')->count(), 2);
});

check('value_sizes', function () {
    $client = connect([Memcached::OPT_COMPRESSION => false]);
    foreach ([0, 1, 2, 100, 2047, 2048, 16384, 65536, 524288, MIB - 512] as $size) {
        $value = noise($size);
        same($client->set('a', $value), true);
        same($client->get('a'), $value);
    }
});

check('compressed', function () {
    $text = str_repeat('compressible ', 200000);
    foreach ([Memcached::COMPRESSION_FASTLZ, Memcached::COMPRESSION_ZLIB] as $type) {
        $client = connect([Memcached::OPT_COMPRESSION_TYPE => $type]);
        same($client->set('a', $text), true);
        same($client->get('a'), $text);
        $value = noise(10000);
        same($client->set('b', $value), true);
        same($client->get('b'), $value);
    }
});

check('too_large', function () {
    $client = connect([Memcached::OPT_COMPRESSION => false]);
    foreach ([MIB, 2 * MIB] as $size) {
        failed($client, $client->set('a', noise($size)), Memcached::RES_E2BIG);
        same(connect()->get('a'), false);
        same(connect()->set('a', 'small'), true);
        same(connect()->get('a'), 'small');
    }
});

check('keys', function () {
    global $protocol;
    $client = connect();
    $keys = ['k', str_repeat('k', 250), '{}[]:;,.!?'];
    if ($protocol === 'binary') { // with the other the extension demands printable ASCII
        array_push($keys, str_repeat("\u{e9}", 125), 'with space');
    }
    foreach ($keys as $key) {
        same($client->set($key, $key), true);
        same($client->get($key), $key);
    }
    failed($client, $client->set(str_repeat('k', 251), 'x'), Memcached::RES_BAD_KEY_PROVIDED);
    $client->setOption(Memcached::OPT_PREFIX_KEY, 'prefix:');
    same($client->set('a', '1'), true);
    same($client->getMulti(['a']), ['a' => '1']);
    same(connect()->get('prefix:a'), '1');
});

check('stats_flush_version', function () {
    global $host, $port;
    $client = connect();
    $client->set('a', '1');
    $client->getMulti(['a', 'missing']);
    $stats = $client->getStats()["$host:$port"];
    same([$stats['cmd_set'], $stats['get_hits'], $stats['get_misses']], [1, 1, 1]);
    same($client->getStats('settings')["$host:$port"]['item_size_max'], MIB);
    same(preg_match('/^1\.\d+\.\d+/', $client->getVersion()["$host:$port"]), 1);
    same($client->flush(), true);
    same($client->get('a'), false);
    $client->set('a', '2');
    same($client->flush(100), true);
    same($client->get('a'), '2');
    advanceClock(110);
    same($client->get('a'), false);
});

check('reconnect', function () {
    $client = connect();
    $client->set('a', '1');
    same($client->quit(), true);
    same($client->get('a'), '1');
});

check('sessions', function () {
    global $protocol, $host, $port;
    ini_set('session.save_handler', 'memcached');
    ini_set('session.save_path', "$host:$port");
    ini_set('memcached.sess_binary_protocol', $protocol === 'binary' ? '1' : '0');
    ini_set('session.use_cookies', '0');
    ini_set('session.cache_limiter', '');
    session_id('session1');
    session_start();
    same($_SESSION, []);
    $_SESSION['user'] = ['name' => 'é', 'visits' => 1];
    session_write_close();
    session_start();
    same($_SESSION['user'], ['name' => 'é', 'visits' => 1]);
    session_regenerate_id(true);
    same($_SESSION['user']['visits'], 1);
    session_destroy();
});

checkLogin('login', function () {
    $client = connect(login: USER);
    $items = [];
    for ($i = 0; $i < 100; $i++) {
        $items["key$i"] = "value $i";
    }
    same($client->setMulti($items), true);
    same($client->getMulti(array_keys($items), Memcached::GET_PRESERVE_ORDER), $items);
    same($client->delete('key1'), true);
    same($client->quit(), true);
    same($client->get('key2'), 'value 2');
});

checkLogin('login_wrong', function () {
    foreach ([['user', 'wrong'], ['user', 'pass wordx'], ['nobody', 'pass word']] as $login) {
        $client = connect(login: $login);
        same($client->set('a', '1'), false);
        same($client->get('a'), false);
        same($client->getResultCode() !== Memcached::RES_NOTFOUND, true);
    }
    same(connect()->set('a', '1'), false);
    $client = connect(login: USER);
    failed($client, $client->get('a'), Memcached::RES_NOTFOUND);
});

// Each refusal is named; libmemcached then connects anew by itself.
checkLogin('login_read_only', function () {
    same(connect(login: USER)->set('a', '1'), true);
    $client = connect(login: READER);
    same($client->get('a'), '1');
    failed($client, $client->set('a', '2'), Memcached::RES_AUTH_FAILURE);
    same($client->get('a'), '1');
    failed($client, $client->delete('a'), Memcached::RES_AUTH_FAILURE);
    same($client->get('a'), '1');
});

try {
    $checks[$name]();
} catch (Throwable $error) {
    $here = array_filter([['line' => $error->getLine()], ...$error->getTrace()], fn ($frame) => isset($frame['line']));
    $lines = implode(' < ', array_column($here, 'line'));
    fwrite(STDERR, "{$error->getMessage()} at lines $lines\n");
    exit(1);
}

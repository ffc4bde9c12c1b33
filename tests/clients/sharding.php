<?php
// PHP's memcached extension over nodes; driver.py says what is read and answered.
//
//     php sharding.php '{"OPT_LIBKETAMA_COMPATIBLE": true}' HOST:PORT...

declare(strict_types=1);

$client = new Memcached();
foreach (json_decode($argv[1], true) as $option => $value) {
    if (!$client->setOption(constant("Memcached::$option"), $value)) {
        throw new Exception("$option is not taken");
    }
}
foreach (array_slice($argv, 2) as $address) {
    [$host, $port] = explode(':', $address);
    $client->addServer($host, (int) $port);
}
while (($line = fgets(STDIN)) !== false) {
    $keys = explode(' ', trim($line));
    $answer = [];
    if (array_shift($keys) === 'set') {
        $value = array_shift($keys);
        $answer = array_filter($keys, fn ($key) => !$client->set($key, $value));
    } else {
        // Where a node fails it gives what the others have.
        foreach ($client->getMulti($keys) ?: [] as $key => $value) {
            $answer[] = "$key=$value";
        }
    }
    echo implode(' ', $answer), "\n";
}

// Checks of memjs (npm), the binary protocol for Node.js; clients_memjs.py runs each by its name.
//
//     NODE_PATH=node_modules node memjs.js HOST PORT NAME

'use strict'

const assert = require('assert/strict')
const net = require('net')
const memjs = require('memjs')

const [host, port, name] = process.argv.slice(2)
const checks = new Map()
const check = (name, body) => checks.set(name, body)
// Run on a daemon with SASL, which knows these.
const checkLogin = check
const USER = { username: 'user', password: 'pass word' }
const READER = { username: 'reader', password: 'reading' }
const MIB = 1024 * 1024

function connect (settings) {
  const quiet = { log () {} }
  return memjs.Client.create(`${host}:${port}`, { timeout: 20, retries: 1, logger: quiet, ...settings })
}

async function valueOf (client, key) {
  const { value } = await client.get(key)
  return value === null ? null : value.toString()
}

// Moves the daemon's clock forward.
function advanceClock (secs) {
  return new Promise((resolve, reject) => {
    const connection = net.connect(port, host, () => connection.write(`debugtime ${secs}\r\n`))
    connection.on('error', reject)
    connection.on('data', (answer) => {
      connection.end()
      answer.toString() === 'OK\r\n' ? resolve() : reject(new Error(answer.toString()))
    })
  })
}

check('set_get_delete', async (client) => {
  assert.deepEqual(await client.get('a'), { value: null, flags: null })
  assert.equal(await client.set('a', '1', {}), true)
  assert.equal(await valueOf(client, 'a'), '1')
  assert.equal(await client.set('a', Buffer.from([0, 13, 10, 255]), {}), true)
  assert.deepEqual((await client.get('a')).value, Buffer.from([0, 13, 10, 255]))
  assert.equal(await client.delete('a'), true)
  assert.equal(await client.delete('a'), false)
  assert.equal(await valueOf(client, 'a'), null)
})

check('callbacks', (client) => new Promise((resolve, reject) => {
  client.set('a', '1', { expires: 100 }, (error, stored) => {
    if (error || !stored) return reject(error || new Error('not stored'))
    client.get('a', (error, value) => {
      if (error || value.toString() !== '1') return reject(error || new Error(value))
      resolve()
    })
  })
}))

check('add_replace_append_prepend', async (client) => {
  assert.equal(await client.replace('a', 'x', {}), false)
  await assert.rejects(client.append('a', 'x'), /Item not stored/)
  await assert.rejects(client.prepend('a', 'x'), /Item not stored/)
  assert.equal(await client.add('a', '1', {}), true)
  assert.equal(await client.add('a', '2', {}), false)
  assert.equal(await client.replace('a', '3', {}), true)
  assert.equal(await client.append('a', '>'), true)
  assert.equal(await client.append('a', '>'), true)
  assert.equal(await valueOf(client, 'a'), '3>>') // memjs sends an append for its prepend
})

check('incr_decr', async (client) => {
  const value = async (answer) => (await answer).value
  assert.equal(await value(client.increment('n', 1, { initial: 10 })), 10)
  assert.equal(await value(client.increment('n', 5, {})), 15)
  assert.equal(await value(client.decrement('n', 3, {})), 12)
  assert.equal(await value(client.decrement('n', 100, {})), 0)
  assert.equal(await value(client.increment('big', 1, { initial: 2 ** 31 })), 2 ** 31)
  assert.equal(await value(client.increment('big', 2 ** 31 - 1, {})), 2 ** 32 - 1)
  assert.equal(await value(client.decrement('m', 1, { initial: 7, expires: 100 })), 7)
  await advanceClock(101)
  assert.equal(await valueOf(client, 'm'), null)
  await client.set('text', 'text', {})
  await assert.rejects(client.increment('text', 1, {}))
  assert.equal(await valueOf(client, 'text'), 'text')
})

check('expiry', async (client) => {
  await client.set('relative', '1', { expires: 100 })
  await client.set('absolute', '1', { expires: Math.floor(Date.now() / 1000) + 100 })
  await client.set('touched', '1', { expires: 100 })
  await client.set('never', '1', {})
  assert.equal(await client.touch('missing', 1000), false)
  assert.equal(await client.touch('touched', 1000), true)
  await advanceClock(50)
  for (const key of ['relative', 'absolute', 'touched', 'never']) assert.equal(await valueOf(client, key), '1')
  await advanceClock(60)
  for (const key of ['relative', 'absolute']) assert.equal(await valueOf(client, key), null)
  for (const key of ['touched', 'never']) assert.equal(await valueOf(client, key), '1')
})

check('pipelined', async (client) => {
  const numbers = [...Array(1000).keys()]
  await Promise.all(numbers.map((i) => client.set(`key${i}`, `${i}`, {})))
  const values = await Promise.all(numbers.map((i) => valueOf(client, `key${i}`)))
  assert.deepEqual(values, numbers.map(String))
  const mixed = await Promise.all(numbers.map((i) => i % 2 ? client.delete(`key${i}`) : valueOf(client, `key${i}`)))
  assert.deepEqual(mixed, numbers.map((i) => i % 2 ? true : `${i}`))
  for (const i of [0, 1, 998, 999]) assert.equal(await valueOf(client, `key${i}`), i % 2 ? null : `${i}`)
})

check('value_sizes', async (client) => {
  for (const size of [0, 1, 2, 100, 2047, 2048, 16384, 65536, 524288, MIB - 512]) {
    const value = Buffer.alloc(size)
    for (let i = 0; i < size; i++) value[i] = (i * i + size) % 251
    assert.equal(await client.set('a', value, {}), true)
    assert.deepEqual((await client.get('a')).value, value)
  }
})

check('too_large', async (client) => {
  for (const size of [MIB, 2 * MIB]) {
    await assert.rejects(client.set('a', Buffer.alloc(size), {}))
    assert.equal(await valueOf(client, 'a'), null)
    assert.equal(await client.set('a', 'small', {}), true)
    assert.equal(await valueOf(client, 'a'), 'small')
  }
})

check('keys', async (client) => {
  for (const key of ['k', 'k'.repeat(250), '\u00e9'.repeat(125), 'with space', 'a\r\nb']) {
    assert.equal(await client.set(key, key, {}), true)
    assert.equal(await valueOf(client, key), key)
  }
})

check('serializer', async () => {
  const client = connect({
    serializer: {
      serialize: (opcode, value, extras) => ({ value: JSON.stringify(value), extras }),
      deserialize: (opcode, value, extras) => ({ value: JSON.parse(value), extras })
    }
  })
  for (const value of [{ list: [1, null, '\u00e9'] }, 'text', 42, true, null]) {
    await client.set('a', value, {})
    assert.deepEqual((await client.get('a')).value, value)
  }
  client.close()
})

check('stats_flush', async (client) => {
  const stats = (key) => new Promise((resolve, reject) => {
    const answer = (error, server, stats) => error ? reject(error) : resolve(stats)
    key ? client.statsWithKey(key, answer) : client.stats(answer)
  })
  await client.set('a', '1', {})
  await client.get('a')
  await client.get('missing')
  const { cmd_set: sets, get_hits: hits, get_misses: misses } = await stats()
  assert.deepEqual([sets, hits, misses], ['1', '1', '1'])
  assert.equal((await stats('settings')).item_size_max, `${MIB}`)
  await new Promise((resolve, reject) => client.resetStats((error) => error ? reject(error) : resolve()))
  assert.equal((await stats()).get_hits, '0')
  assert.equal((await client.flush())[`${host}:${port}`], true)
  assert.equal(await valueOf(client, 'a'), null)
})

check('quit_and_reconnect', async (client) => {
  await client.set('a', '1', {})
  client.quit()
  const second = connect()
  assert.equal(await valueOf(second, 'a'), '1')
  second.close()
})

checkLogin('login', async () => {
  const client = connect(USER)
  const numbers = [...Array(100).keys()]
  await Promise.all(numbers.map((i) => client.set(`key${i}`, `${i}`, {})))
  assert.deepEqual(await Promise.all(numbers.map((i) => valueOf(client, `key${i}`))), numbers.map(String))
  assert.equal(await client.delete('key1'), true)
  client.close()
})

checkLogin('login_wrong', async () => {
  for (const wrong of [{ password: 'wrong' }, { password: 'pass wordx' }, { username: 'nobody' }]) {
    const client = connect({ ...USER, ...wrong })
    await assert.rejects(client.set('a', '1', {}))
    client.close()
  }
  const anonymous = connect()
  await assert.rejects(anonymous.set('a', '1', {}))
  anonymous.close()
  const client = connect(USER)
  assert.equal(await valueOf(client, 'a'), null)
  client.close()
})

// A refusal counts as a failed login for this client: it connects anew and tries again.
checkLogin('login_read_only', async () => {
  const client = connect(USER)
  const reader = connect(READER)
  await client.set('a', '1', {})
  await assert.rejects(reader.set('a', '2', {}))
  assert.equal(await valueOf(reader, 'a'), '1')
  await assert.rejects(reader.delete('a'))
  assert.equal(await valueOf(reader, 'a'), '1')
  client.close()
  reader.close()
})

async function main () {
  const client = connect()
  await checks.get(name)(client)
  client.close()
}

// A client that was refused keeps a socket for good; it must not keep the process.
main().then(() => process.exit(0), (error) => {
  const place = (error.stack || '').split('\n').find((line) => line.includes(__filename))
  console.error(`${error.message}`, place)
  process.exit(1)
})

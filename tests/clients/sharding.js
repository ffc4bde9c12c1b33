// memjs (npm) over nodes; driver.py says what is read and answered.
//
//     NODE_PATH=node_modules node sharding.js '{"failover": true}' HOST:PORT...

'use strict'

const memjs = require('memjs')
const readline = require('readline')

const [options, ...addresses] = process.argv.slice(2)
const quiet = { log () {} }
const client = memjs.Client.create(addresses.join(','), { logger: quiet, ...JSON.parse(options) })

async function stored (key, value) {
  return client.set(key, value, {}).catch(() => false)
}

async function found (key) {
  return client.get(key).then(({ value }) => value, () => null)
}

async function answer ([verb, ...words]) {
  if (verb === 'set') {
    const [value, ...keys] = words
    const done = await Promise.all(keys.map((key) => stored(key, value)))
    return keys.filter((_, i) => !done[i])
  }
  const values = await Promise.all(words.map(found))
  return words.flatMap((key, i) => values[i] === null ? [] : [`${key}=${values[i]}`])
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log((await answer(line.split(' '))).join(' '))
  }
  client.close()
}

main()

// memcached-elasticache (npm), which finds the nodes for the client memcached; discovery.py says what is read
// and answered.
//
//     NODE_PATH=node_modules node discovery_node.js HOST:PORT

'use strict'

const Memcached = require('memcached-elasticache')
const readline = require('readline')

const client = new Memcached(process.argv[2], { autoDiscoverInterval: 50 })
let known = []
client.on('autoDiscover', (nodes) => { known = nodes })

const calls = {
  set: (key, done) => client.set(key, key, 0, (error) => done(!error)),
  get: (key, done) => client.get(key, (error, value) => done(!error && value === key))
}

async function answer ([verb, ...keys]) {
  if (verb === 'nodes') return known
  const done = keys.map((key) => new Promise((resolve) => calls[verb](key, resolve)))
  const flags = await Promise.all(done)
  return keys.filter((_, i) => flags[i])
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log((await answer(line.trim().split(' '))).join(' '))
  }
  client.end()
}

main()

// A port that cannot be bound is an error that says which port, and who has it.
import { createServer, type Server } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { listen, listeningInodes } from '../../../common/net/listen.ts'

const servers: Server[] = []
const open = () => {
  const server = createServer()
  servers.push(server)
  return server
}
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

it('answers the port that the system chose', async () => {
  const address = await listen(open(), { host: '127.0.0.1', port: 0 })
  expect(address.port).toBeGreaterThan(0)
})

it('names the port and the process that has it', async () => {
  const { port } = await listen(open(), { host: '127.0.0.1', port: 0 })
  const attempt = listen(open(), { host: '127.0.0.1', port })
  await expect(attempt).rejects.toMatchObject({ name: 'ServiceError', code: 'port-taken' })
  const whoever = process.platform === 'linux' ? `pid ${process.pid}` : 'another process'
  await expect(attempt).rejects.toThrow(new RegExp(`Port ${port} on 127.0.0.1 .*${whoever}`))
})

it('says that an address is not of this machine', async () => {
  const attempt = listen(open(), { host: '192.0.2.1', port: 0 })
  await expect(attempt).rejects.toMatchObject({ code: 'address-unavailable' })
})

it('explains a port that needs rights', async () => {
  const server = open()
  server.listen = () => {
    queueMicrotask(() => server.emit('error', Object.assign(new Error('no'), { code: 'EACCES' })))
    return server
  }
  const attempt = listen(server, { host: '::', port: 443 })
  await expect(attempt).rejects.toMatchObject({ code: 'port-forbidden' })
  await expect(attempt).rejects.toThrow('CAP_NET_BIND_SERVICE')
})

it('takes IPv4 where a machine has no IPv6', async () => {
  const server = open()
  const real = server.listen.bind(server)
  server.listen = ((target: { host: string; port: number }) => {
    if (target.host !== '::') return real(target)
    const err = Object.assign(new Error('no IPv6'), { code: 'EAFNOSUPPORT' })
    queueMicrotask(() => server.emit('error', err))
    return server
  }) as Server['listen']
  expect(await listen(server, { host: '::', port: 0 })).toMatchObject({ address: '0.0.0.0' })
})

it('finds only listening sockets of the port in a kernel table', () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1
   2: 0100007F:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
`
  expect(listeningInodes(table, 8080)).toEqual(['111'])
  expect(listeningInodes(table, 443)).toEqual(['333'])
  expect(listeningInodes('', 443)).toEqual([])
})

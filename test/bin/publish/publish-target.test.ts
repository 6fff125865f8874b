// Which server, application and key a URL and its options name.
import { describe, expect, test } from 'vitest'
import { publishTarget, targetText } from '../../../bin/publish/publish-target.ts'

const key = `nc_${'k'.repeat(32)}`

describe('a target', () => {
  test.each([
    ['rtmps://pop.example/live', key, 'pop.example', 443, 'live', key],
    ['rtmps://pop.example:8443/live/', key, 'pop.example', 8443, 'live', key],
    ['rtmp://127.0.0.1/live', key, '127.0.0.1', 1935, 'live', key],
    ['rtmp://[::1]:1936/live', key, '::1', 1936, 'live', key],
    [`rtmp://host/live/${key}`, undefined, 'host', 1935, 'live', key],
    ['rtmp://host/app/instance', key, 'host', 1935, 'app/instance', key],
    ['rtmp://host/app/instance/name', undefined, 'host', 1935, 'app/instance', 'name'],
    ['rtmps://host/live?bandwidthtest=true', key, 'host', 443, 'live', `${key}?bandwidthtest=true`],
  ])('%s with key %s', (url, given, host, port, app, streamName) => {
    expect(publishTarget({ url, key: given })).toMatchObject({ host, port, app, streamName })
  })

  test.each([
    ['http://host/live', key, 'expected rtmps://host:443/live'],
    ['pop.example:443', key, 'expected rtmps://host:443/live'],
    ['rtmps://host', key, 'names no application'],
    ['rtmps://host/live', undefined, 'no stream key'],
  ])('%s is refused', (url, given, problem) => {
    expect(publishTarget({ url, key: given })).toEqual({
      problem: expect.stringContaining(problem),
    })
  })

  test('checks certificates, and trusts one more CA when told to', () => {
    expect(publishTarget({ url: 'rtmp://host/live', key })).not.toHaveProperty('tls')
    expect(publishTarget({ url: 'rtmps://host/live', key })).toHaveProperty('tls', {
      servername: 'host',
    })
    const trusting = publishTarget({ url: 'rtmps://127.0.0.1/live', key, caPem: 'PEM' })
    expect(trusting).not.toHaveProperty('tls.servername')
    expect(trusting).not.toHaveProperty('tls.rejectUnauthorized')
    expect(trusting).toHaveProperty('tls.ca', expect.arrayContaining(['PEM']))
    const careless = publishTarget({ url: 'rtmps://host/live', key, insecure: true })
    expect(careless).toHaveProperty('tls.rejectUnauthorized', false)
  })

  test('is told to people without its key', () => {
    const target = publishTarget({ url: `rtmps://[::1]:8443/live/${key}` })
    if ('problem' in target) throw new Error(target.problem)
    expect(targetText(target)).toBe('rtmps://[::1]:8443/live')
  })
})

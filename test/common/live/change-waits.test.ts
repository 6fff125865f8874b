// Waiting for a live broadcast to change.
import { expect, it } from 'vitest'
import { ChangeWaits } from '../../../common/live/change-waits.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'

function rig() {
  const clock = new FakeClock()
  const listeners = new Set<() => void>()
  const onChange = (listener: () => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  const change = () => {
    for (const listener of [...listeners]) listener()
  }
  const leaving = new AbortController()
  const options = { ms: 1_000, signal: leaving.signal }
  return { clock, listeners, change, leaving, options, waits: new ChangeWaits({ onChange }, clock) }
}

it('finds at once what is there, without subscribing', async () => {
  const { waits, listeners, options } = rig()
  const found = waits.until(() => 1, options)
  expect(listeners.size).toBe(0)
  expect(await found).toEqual({ found: 1 })
})

it('looks once for all changes of a turn, and shares one subscription', async () => {
  const { waits, listeners, change, options } = rig()
  let looks = 0
  let value: number | undefined
  const look = () => {
    looks++
    return value
  }
  const ends = [waits.until(look, options), waits.until(look, options)]
  expect([looks, listeners.size]).toEqual([2, 1])
  change()
  change()
  value = 7
  change()
  expect(looks).toBe(2)
  expect(await Promise.all(ends)).toEqual([{ found: 7 }, { found: 7 }])
  expect([looks, listeners.size]).toEqual([4, 0])
})

it('ends late, left or let go, and then looks no more', async () => {
  const { waits, listeners, change, options, clock, leaving } = rig()
  let looks = 0
  const look = () => {
    looks++
    return undefined
  }
  const late = waits.until(look, { ...options, ms: 500 })
  const letGo = waits.until(look, { ...options, signal: new AbortController().signal })
  const left = waits.until(look, options)
  await clock.advance(500)
  leaving.abort()
  waits.letGo()
  expect(await Promise.all([late, left, letGo])).toEqual(['late', 'left', 'left'])
  expect(listeners.size).toBe(0)
  change()
  await settle()
  expect(looks).toBe(3)
  expect(await waits.until(look, options)).toBe('left')
})

it('passes on what a look throws, to that wait alone', async () => {
  const { waits, change, options } = rig()
  let isBroken = false
  const breaks = waits.until(() => {
    if (isBroken) throw new Error('no such thing')
    return undefined
  }, options)
  const finds = waits.until(() => (isBroken ? 1 : undefined), options)
  isBroken = true
  change()
  await expect(breaks).rejects.toThrow('no such thing')
  expect(await finds).toEqual({ found: 1 })
})

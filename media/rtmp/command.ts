// Commands: the AMF messages by which both ends connect, create streams and publish (RTMP 1.0 §7.2).
import type { Parsed } from '../parsed.ts'
import { type AmfObject, type AmfValue, isAmfObject } from './amf-value.ts'
import { readAmf0, writeAmf0 } from './amf0.ts'
import { messageType, type RtmpMessage } from './message.ts'

export interface Command {
  name: string
  transactionId: number
  /** Command object, or null. */
  object: AmfObject | null
  arguments: AmfValue[]
}

/** `onStatus` and the information object of `_result` and `_error`. */
export interface RtmpStatus {
  level: string
  code: string
  description: string
}

export function readCommand(message: RtmpMessage): Parsed<Command> {
  const { payload, typeId } = message
  // Type 17 opens with a format byte, 0 for AMF0; no command can begin with 0, so its absence is seen.
  const start = typeId === messageType.commandAmf3 && payload[0] === 0 ? 1 : 0
  const read = readAmf0(payload, start)
  if ('fault' in read) return read
  const [name, transactionId, object, ...rest] = read.value
  if (typeof name !== 'string') return { fault: 'a command without a name' }
  return {
    value: {
      name,
      transactionId: Number.isFinite(transactionId) ? (transactionId as number) : 0,
      object: isAmfObject(object) ? object : null,
      arguments: rest,
    },
  }
}

export function writeCommand(name: string, transactionId: number, ...values: AmfValue[]): Buffer {
  return writeAmf0(name, transactionId, ...values)
}

/** Reads a status out of whatever a server put there. */
export function statusOf(value: AmfValue): RtmpStatus {
  const object = isAmfObject(value) ? value : undefined
  const text = (key: string) => {
    const field = object?.[key]
    return typeof field === 'string' ? field : ''
  }
  return { level: text('level'), code: text('code'), description: text('description') }
}

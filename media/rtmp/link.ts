// What both ends of a connection do alike after the handshake: chunks in and out, acknowledgements, pings,
// windows, aggregates, commands parsed. The sessions above it know only commands and media.

import type { AmfValue } from './amf-value.ts'
import { ChunkReader } from './chunk-reader.ts'
import { ChunkWriter, chunkStreamId } from './chunk-writer.ts'
import { type Command, readCommand, writeCommand } from './command.ts'
import { type RtmpError, rtmpError } from './error.ts'
import type { RtmpLimits } from './limits.ts'
import { mediaOf, messageOfMedia, splitAggregate } from './media-message.ts'
import { controlEvent, type MediaMessage, messageType, type RtmpMessage } from './message.ts'

export interface LinkHandler {
  onCommand(command: Command, streamId: number): RtmpError | undefined
  /** False: nobody wants it. */
  onMedia(media: MediaMessage, streamId: number): boolean
}

const nothing: readonly Buffer[] = []
/** Each end tells the other to acknowledge after so many bytes. */
export const windowBytes = 2_500_000
/** A smaller window would make us answer every packet. */
const minWindowBytes = 16_384
/** Messages of other kinds that one media message pays for, itself included. */
const talkPerMedia = 4

export class Link {
  readonly #reader: ChunkReader
  readonly #writer = new ChunkWriter()
  readonly #handler: LinkHandler
  readonly #maxTalk: number
  #out: Buffer[] = []
  #talkLeft: number
  #ackWindowBytes = windowBytes
  #receivedBytes = 0
  #lastAckAtBytes = 0
  #peerAcknowledged = 0

  constructor(limits: RtmpLimits, handler: LinkHandler) {
    this.#handler = handler
    this.#maxTalk = limits.messagesWithoutMedia
    this.#talkLeft = limits.messagesWithoutMedia
    this.#reader = new ChunkReader({
      chunkStreams: limits.chunkStreams,
      messageBytes: limits.messageBytesAtFirst,
      partialBytes: limits.partialBytesAtFirst,
    })
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** The last sequence number that the peer acknowledged, modulo 2^32. */
  get peerAcknowledged(): number {
    return this.#peerAcknowledged
  }

  get partialBytes(): number {
    return this.#reader.partialBytes
  }

  /** A publisher may send larger messages: some do not wait for the start, and more once let in. */
  raiseLimits(limits: { messageBytes: number; partialBytes: number }): void {
    this.#reader.setLimits({
      messageBytes: limits.messageBytes,
      partialBytes: limits.partialBytes,
    })
  }

  /** Bytes count for acknowledgements whether they belong to the handshake or not. */
  count(bytes: number): void {
    this.#receivedBytes += bytes
  }

  read(bytes: Buffer, start: number): RtmpError | undefined {
    const error = this.#reader.read(bytes, start, (message) => this.#dispatch(message))
    if (!error && this.#receivedBytes - this.#lastAckAtBytes >= this.#ackWindowBytes) {
      this.#lastAckAtBytes = this.#receivedBytes
      this.sendControl(messageType.acknowledgement, u32(this.#receivedBytes % 2 ** 32))
    }
    return error
  }

  get out(): Buffer[] {
    return this.#out
  }

  takeOutput(): readonly Buffer[] {
    if (this.#out.length === 0) return nothing
    const out = this.#out
    this.#out = []
    return out
  }

  sendControl(typeId: number, payload: Buffer): void {
    this.#send(chunkStreamId.control, typeId, 0, payload)
  }

  sendChunkSize(bytes: number): void {
    this.sendControl(messageType.setChunkSize, u32(bytes))
    this.#writer.chunkSizeBytes = bytes
  }

  sendWindow(): void {
    this.sendControl(messageType.windowAckSize, u32(windowBytes))
  }

  sendStreamBegin(streamId: number): void {
    const payload = Buffer.alloc(6)
    payload.writeUInt16BE(controlEvent.streamBegin)
    payload.writeUInt32BE(streamId, 2)
    this.sendControl(messageType.userControl, payload)
  }

  sendCommand(streamId: number, name: string, transactionId: number, ...values: AmfValue[]): void {
    const payload = writeCommand(name, transactionId, ...values)
    this.#send(chunkStreamId.command, messageType.commandAmf0, streamId, payload)
  }

  sendMedia(media: MediaMessage, streamId: number): void {
    this.#writer.write(this.#out, chunkStreamId[media.kind], messageOfMedia(media, streamId))
    this.#allowTalk()
  }

  #send(csid: number, typeId: number, streamId: number, payload: Buffer): void {
    this.#writer.write(this.#out, csid, { typeId, streamId, timestampMs: 0, payload }, false)
  }

  /** Media flows in one direction or the other: the peer may acknowledge it, and ping now and then. */
  #allowTalk(): void {
    this.#talkLeft = Math.min(this.#maxTalk, this.#talkLeft + talkPerMedia)
  }

  #dispatch(message: RtmpMessage): RtmpError | undefined {
    if (this.#talkLeft-- <= 0) {
      return rtmpError('too-much-talk', 'too many messages without media')
    }
    switch (message.typeId) {
      case messageType.audio:
      case messageType.video:
      case messageType.dataAmf0:
      case messageType.dataAmf3:
        this.#dispatchMedia(message)
        return undefined
      case messageType.aggregate: {
        const parts = splitAggregate(message)
        if ('fault' in parts) return rtmpError('aggregate-malformed', parts.fault)
        for (const part of parts.value) this.#dispatchMedia(part)
        return undefined
      }
      case messageType.commandAmf0:
      case messageType.commandAmf3: {
        const command = readCommand(message)
        if ('fault' in command) return rtmpError('amf-malformed', command.fault)
        return this.#handler.onCommand(command.value, message.streamId)
      }
      case messageType.acknowledgement:
      case messageType.windowAckSize:
      case messageType.setPeerBandwidth:
        return this.#obeyNumber(message)
      case messageType.userControl:
        return this.#obeyUserControl(message.payload)
      default:
        // Shared objects and what we do not know concern nobody here.
        return undefined
    }
  }

  #dispatchMedia(message: RtmpMessage): void {
    const media = mediaOf(message)
    if (media && this.#handler.onMedia(media, message.streamId)) this.#allowTalk()
  }

  #obeyNumber({ typeId, payload }: RtmpMessage): RtmpError | undefined {
    const isSized = payload.length === (typeId === messageType.setPeerBandwidth ? 5 : 4)
    if (!isSized) return rtmpError('control-malformed', 'a control message of a wrong length')
    const value = payload.readUInt32BE(0)
    if (typeId === messageType.acknowledgement) this.#peerAcknowledged = value
    else if (value === 0) return rtmpError('control-malformed', 'a window of no bytes')
    else if (typeId === messageType.windowAckSize) {
      this.#ackWindowBytes = Math.max(value, minWindowBytes)
    } else {
      // §5.4.5: answered by the window that we use. How much we send is the socket's back-pressure's to say.
      this.sendWindow()
    }
    return undefined
  }

  #obeyUserControl(payload: Buffer): RtmpError | undefined {
    if (payload.length < 2)
      return rtmpError('control-malformed', 'a user control message too short')
    if (payload.readUInt16BE(0) !== controlEvent.pingRequest) return undefined
    if (payload.length < 6) return rtmpError('control-malformed', 'a ping without a time')
    const pong = Buffer.from(payload.subarray(0, 6))
    pong.writeUInt16BE(controlEvent.pingResponse)
    this.sendControl(messageType.userControl, pong)
    return undefined
  }
}

export function u32(value: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}

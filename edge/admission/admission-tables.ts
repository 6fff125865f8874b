// What admission counts, by name: in one thread, or in memory that all threads of the edge share, so that limits hold
// for the POP and not for each thread of it.
//
// In shared memory names are slots, chosen by a salted hash. Two that fall on one slot are counted as one, which
// nobody can bring about on purpose and which matters only near a limit. Counts of what is held have a row for each
// thread, so that those of a thread that died can be taken out, and so have rates of bytes.
import { hash } from 'node:crypto'
import { BoundedTable } from '../../common/bounded-table.ts'
import { HeldCounts } from './held-counts.ts'

export interface HeldTable {
  of(name: string): number
  /** Counts one more until the answer is called, once or more often. */
  hold(name: string): () => void
}

/** When the burst of each will be whole again (pace.ts). */
export interface PaceTable {
  get(name: string): number | undefined
  set(name: string, wholeAt: number): unknown
}

/** Bits a second. */
export interface RateTable {
  /** Of all threads together, where they have told of it after `since`. */
  of(name: string, since: number): number
  /** Of this thread alone; 0 when nothing of that name is left here. */
  set(name: string, bitsPerSecond: number, at: number): void
}

/** As in a PaceTable, for what happens too often to be looked up by its name each time. */
export interface PaceCell {
  wholeAt: number
}

export interface PaceCells {
  of(name: string): PaceCell
}

export interface AdmissionTables {
  connections: HeldTable
  handshakes: PaceTable
  nodeHandshakes: PaceTable
  streams: { address: HeldTable; key: HeldTable; node: HeldTable }
  publishes: PaceTable
  rates: { address: RateTable; node: RateTable }
  requests: PaceCells
  bytes: PaceCells
}

const maxEntries = 10_000

export function ownTables(): AdmissionTables {
  return {
    connections: new HeldCounts(),
    handshakes: new BoundedTable<number>(maxEntries),
    nodeHandshakes: new BoundedTable<number>(1),
    streams: { address: new HeldCounts(), key: new HeldCounts(), node: new HeldCounts() },
    publishes: new BoundedTable<number>(maxEntries),
    rates: { address: new OwnRates(), node: new OwnRates() },
    requests: new OwnCells(),
    bytes: new OwnCells(),
  }
}

/** Plain data, the same for all threads. */
export interface AdmissionMemory {
  held: SharedArrayBuffer
  paces: SharedArrayBuffer
  rates: SharedArrayBuffer
  rows: number
  salt: string
}

const slots = 16_384
/** Of connections, streams by address, by key, of the node. */
const heldTables = 4
/** Of handshakes by address, of the node; of publishes by key; of requests and of bytes sent by address. */
const paceTables = 5
/** By address, and behind those one of the node: a rate, and when it was told. */
const rateCells = 2 * (slots + 1)

export function createAdmissionMemory(rows: number, salt: string): AdmissionMemory {
  return {
    held: new SharedArrayBuffer(rows * heldTables * slots * Int32Array.BYTES_PER_ELEMENT),
    paces: new SharedArrayBuffer(paceTables * slots * Float64Array.BYTES_PER_ELEMENT),
    rates: new SharedArrayBuffer(rows * rateCells * Float64Array.BYTES_PER_ELEMENT),
    rows,
    salt,
  }
}

/** `row` is this thread's; its clock's monotonic time is that of the others. */
export function sharedTables(memory: AdmissionMemory, row: number): AdmissionTables {
  const held = (table: number) => new SharedHeld(memory, row, table)
  const paces = (table: number) => new SharedPaces(memory, table)
  return {
    connections: held(0),
    handshakes: paces(0),
    nodeHandshakes: paces(1),
    streams: { address: held(1), key: held(2), node: held(3) },
    publishes: paces(2),
    rates: {
      address: new SharedRates(memory, row, (name) => slotOf(memory.salt, name)),
      node: new SharedRates(memory, row, () => slots),
    },
    requests: paces(3),
    bytes: paces(4),
  }
}

/** Forgets what a thread held that is no more. */
export function clearRow(memory: AdmissionMemory, row: number): void {
  const cells = heldTables * slots
  new Int32Array(memory.held, row * cells * Int32Array.BYTES_PER_ELEMENT, cells).fill(0)
  ratesOfRow(memory, row).fill(0)
}

class SharedHeld implements HeldTable {
  readonly #salt: string
  readonly #own: Int32Array
  readonly #all: Int32Array[]

  constructor({ held, rows, salt }: AdmissionMemory, row: number, table: number) {
    this.#salt = salt
    this.#all = Array.from({ length: rows }, (_, i) => {
      const start = (i * heldTables + table) * slots
      return new Int32Array(held, start * Int32Array.BYTES_PER_ELEMENT, slots)
    })
    this.#own = this.#all[row]!
  }

  of(name: string): number {
    const slot = slotOf(this.#salt, name)
    return this.#all.reduce((sum, row) => sum + Atomics.load(row, slot), 0)
  }

  hold(name: string): () => void {
    const slot = slotOf(this.#salt, name)
    Atomics.add(this.#own, slot, 1)
    let isHeld = true
    return () => {
      if (isHeld) Atomics.sub(this.#own, slot, 1)
      isHeld = false
    }
  }
}

class OwnRates implements RateTable {
  readonly #told = new Map<string, { bitsPerSecond: number; at: number }>()

  of(name: string, since: number): number {
    const told = this.#told.get(name)
    return told && told.at > since ? told.bitsPerSecond : 0
  }

  set(name: string, bitsPerSecond: number, at: number): void {
    if (bitsPerSecond === 0) this.#told.delete(name)
    else this.#told.set(name, { bitsPerSecond, at })
  }
}

/** Of two names of a thread that fall on one slot the one told last counts. */
class SharedRates implements RateTable {
  readonly #slotOf: (name: string) => number
  readonly #own: Float64Array
  readonly #all: Float64Array[]

  constructor(memory: AdmissionMemory, row: number, slot: (name: string) => number) {
    this.#slotOf = slot
    this.#all = Array.from({ length: memory.rows }, (_, i) => ratesOfRow(memory, i))
    this.#own = this.#all[row]!
  }

  of(name: string, since: number): number {
    const cell = 2 * this.#slotOf(name)
    return this.#all.reduce((sum, row) => sum + (row[cell + 1]! > since ? row[cell]! : 0), 0)
  }

  set(name: string, bitsPerSecond: number, at: number): void {
    const cell = 2 * this.#slotOf(name)
    this.#own[cell] = bitsPerSecond
    this.#own[cell + 1] = at
  }
}

function ratesOfRow({ rates }: AdmissionMemory, row: number): Float64Array {
  return new Float64Array(rates, row * rateCells * Float64Array.BYTES_PER_ELEMENT, rateCells)
}

class OwnCells implements PaceCells {
  readonly #cells = new BoundedTable<PaceCell>(maxEntries)

  of(name: string): PaceCell {
    const known = this.#cells.get(name)
    if (known) return known
    const cell = { wholeAt: 0 }
    this.#cells.set(name, cell)
    return cell
  }
}

/** Two threads that step at the same moment may count as one. */
class SharedPaces implements PaceTable, PaceCells {
  readonly #salt: string
  readonly #cells: Float64Array

  constructor({ paces, salt }: AdmissionMemory, table: number) {
    this.#salt = salt
    this.#cells = new Float64Array(paces, table * slots * Float64Array.BYTES_PER_ELEMENT, slots)
  }

  get(name: string): number {
    return this.#cells[slotOf(this.#salt, name)]!
  }

  set(name: string, wholeAt: number): void {
    this.#cells[slotOf(this.#salt, name)] = wholeAt
  }

  of(name: string): PaceCell {
    return new SharedCell(this.#cells, slotOf(this.#salt, name))
  }
}

class SharedCell implements PaceCell {
  readonly #cells: Float64Array
  readonly #slot: number

  constructor(cells: Float64Array, slot: number) {
    this.#cells = cells
    this.#slot = slot
  }

  get wholeAt(): number {
    return this.#cells[this.#slot]!
  }

  set wholeAt(wholeAt: number) {
    this.#cells[this.#slot] = wholeAt
  }
}

function slotOf(salt: string, name: string): number {
  return hash('sha1', `${salt} ${name}`, 'buffer').readUInt32LE(0) % slots
}

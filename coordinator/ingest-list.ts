// The list of POPs for encoders, in the shape that Twitch uses, so that OBS and others understand it.
import { createHash } from 'node:crypto'
import type { NodeInfo } from '../common/contract/membership.ts'

export interface Place {
  latitude: number
  longitude: number
}

export interface Ingest {
  _id: number
  availability: number
  default: boolean
  name: string
  url_template: string
  url_template_secure: string
  priority: number
}

/** Nearest first where the caller's place is known, else the least loaded; POPs that take nobody come last. */
export function ingestList(edges: readonly NodeInfo[], place: Place | undefined): Ingest[] {
  const candidates = edges
    .filter(({ urls }) => (urls.rtmps ?? urls.rtmp) !== undefined)
    .map((info) => ({
      info,
      isOpen: !info.draining && info.weight > 0,
      distance: place === undefined ? 0 : distanceKm(place, info),
      load: (info.load.cpu + info.load.streams / 1000) / Math.max(info.weight, 0.001),
    }))
  candidates.sort(
    (a, b) =>
      Number(b.isOpen) - Number(a.isOpen) ||
      compare(a.distance, b.distance) ||
      compare(a.load, b.load) ||
      compare(a.info.id, b.info.id),
  )
  return candidates.map(({ info, isOpen }, index) => {
    const { id, region, urls } = info
    const secure = `${urls.rtmps ?? urls.rtmp}/{stream_key}`
    return {
      _id: numberOf(id),
      availability: isOpen ? 1 : 0,
      default: index === 0 && isOpen,
      name: region === null ? id : `${region} (${id})`,
      // OBS reads only this one, so it is the secure URL where plain RTMP is off.
      url_template: urls.rtmp === undefined ? secure : `${urls.rtmp}/{stream_key}`,
      url_template_secure: secure,
      priority: index,
    }
  })
}

const earthRadiusKm = 6_371

/** Great-circle distance; a node without a place is further than any other. */
export function distanceKm(
  from: Place,
  to: { latitude: number | null; longitude: number | null },
): number {
  if (to.latitude === null || to.longitude === null) return Number.POSITIVE_INFINITY
  const radians = (degrees: number) => (degrees * Math.PI) / 180
  const halfLatitude = Math.sin(radians(to.latitude - from.latitude) / 2)
  const halfLongitude = Math.sin(radians(to.longitude - from.longitude) / 2)
  const h =
    halfLatitude ** 2 +
    Math.cos(radians(from.latitude)) * Math.cos(radians(to.latitude)) * halfLongitude ** 2
  return 2 * earthRadiusKm * Math.asin(Math.min(1, Math.sqrt(h)))
}

// Two infinite distances differ by NaN, so no subtraction.
function compare<Value extends number | string>(a: Value, b: Value): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Twitch's ids are numbers; ours is stable for a node. */
function numberOf(id: string): number {
  return createHash('sha256').update(id).digest().readUInt32BE() >>> 1
}

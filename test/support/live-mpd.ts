// Reads the MPDs of a live stream as far as numbers and times go: periods, templates and timelines.

export interface ListedRepresentation {
  id: string
  timescale: number
  presentationTimeOffset: number
  startNumber: number
  /** Ticks of each number; undefined where a timeline tells. */
  duration: number | undefined
  timeline: { number: number; time: number; duration: number }[]
  media: string
  initialization: string
  availabilityTimeOffset: number | undefined
}

export interface ListedPeriod {
  id: string
  startSeconds: number
  durationSeconds: number | undefined
  representations: ListedRepresentation[]
}

export interface ListedMpd {
  text: string
  isDynamic: boolean
  availabilityStartMs: number
  periods: ListedPeriod[]
}

interface Element {
  name: string
  attributes: Map<string, string>
  children: Element[]
}

/** Throws where the text is no MPD. */
export function readLiveMpd(text: string): ListedMpd {
  const root = elementsOf(text).find(({ name }) => name === 'MPD')
  if (!root) throw new Error('not an MPD')
  return {
    text,
    isDynamic: root.attributes.get('type') === 'dynamic',
    availabilityStartMs: Date.parse(root.attributes.get('availabilityStartTime') ?? ''),
    periods: named(root, 'Period').map((period) => ({
      id: period.attributes.get('id') ?? '',
      startSeconds: secondsOfPeriod(period.attributes.get('start') ?? 'PT0S')!,
      durationSeconds: secondsOfPeriod(period.attributes.get('duration')),
      representations: named(period, 'AdaptationSet').flatMap((set) =>
        named(set, 'Representation').map((it) => representationOf(it, set)),
      ),
    })),
  }
}

function representationOf(element: Element, set: Element): ListedRepresentation {
  const templates = [set, element].flatMap((it) => named(it, 'SegmentTemplate'))
  const attribute = (name: string) =>
    templates.findLast(({ attributes }) => attributes.has(name))?.attributes.get(name)
  const id = element.attributes.get('id') ?? ''
  const startNumber = Number(attribute('startNumber') ?? 1)
  const lines = templates.flatMap((it) => named(it, 'SegmentTimeline')).at(-1)
  const filled = (name: string) => (attribute(name) ?? '').replaceAll('$RepresentationID$', id)
  const offset = attribute('availabilityTimeOffset')
  const duration = attribute('duration')
  return {
    id,
    timescale: Number(attribute('timescale') ?? 1),
    presentationTimeOffset: Number(attribute('presentationTimeOffset') ?? 0),
    startNumber,
    duration: duration === undefined ? undefined : Number(duration),
    timeline: timelineOf(lines, startNumber),
    media: filled('media'),
    initialization: filled('initialization'),
    availabilityTimeOffset: offset === undefined ? undefined : Number(offset),
  }
}

function timelineOf(
  lines: Element | undefined,
  startNumber: number,
): ListedRepresentation['timeline'] {
  const listed: ListedRepresentation['timeline'] = []
  let time = 0
  let number = startNumber
  for (const { attributes } of lines ? named(lines, 'S') : []) {
    time = Number(attributes.get('t') ?? time)
    number = Number(attributes.get('n') ?? number)
    const duration = Number(attributes.get('d'))
    for (let i = 0; i <= Number(attributes.get('r') ?? 0); i++) {
      listed.push({ number, time, duration })
      time += duration
      number++
    }
  }
  return listed
}

/** `PT1H2M3.5S` */
function secondsOfPeriod(text: string | undefined): number | undefined {
  const [, hours, minutes, seconds] =
    /^PT(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?$/.exec(text ?? '') ?? []
  if (text === undefined) return undefined
  return Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0)
}

function named(element: Element, name: string): Element[] {
  return element.children.filter((child) => child.name === name)
}

function elementsOf(text: string): Element[] {
  const top: Element = { name: '', attributes: new Map(), children: [] }
  const open = [top]
  for (const [, isEnd, name, attributes, isEmpty] of text.matchAll(
    /<(\/?)([A-Za-z][\w:.-]*)((?:[^>"]|"[^"]*")*?)(\/?)>/g,
  )) {
    if (isEnd) {
      open.pop()
      continue
    }
    const found = [...attributes!.matchAll(/([\w:.-]+)\s*=\s*"([^"]*)"/g)]
    const element: Element = {
      name: name!,
      attributes: new Map(found.map(([, key, value]) => [key!, unescaped(value!)])),
      children: [],
    }
    open.at(-1)?.children.push(element)
    if (!isEmpty) open.push(element)
  }
  return top.children
}

function unescaped(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
}

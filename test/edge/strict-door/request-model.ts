// What a strict reader of RFC 9112 takes for requests in a string of bytes: the yardstick for the one at the door.

export interface ModelRequest {
  method: string
  /** As on the line, whatever its form. */
  target: string
}

export interface ModelReading {
  requests: ModelRequest[]
  /** What is left behind them is no request. */
  isBroken: boolean
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
// Spaces in a row and two names of other protocols do no harm, and llhttp lets them through.
const head = new RegExp(
  `(${token}) +([\\x21-\\x7e]+) +(?:HTTP|RTSP|ICE)/1\\.[01]\\r\\n` +
    `(?:${token}:[\\t\\x20-\\x7e\\x80-\\xff]*\\r\\n)*\\r\\n`,
  'y',
)
const emptyLines = /[\r\n]*/y

/** Bodies are not read: whoever announces one is refused, and nothing behind it counts. */
export function readRequests(bytes: string): ModelReading {
  const requests: ModelRequest[] = []
  let at = 0
  for (;;) {
    emptyLines.lastIndex = at
    at += emptyLines.exec(bytes)![0].length
    if (at === bytes.length) return { requests, isBroken: false }
    head.lastIndex = at
    const match = head.exec(bytes)
    if (!match) return { requests, isBroken: true }
    requests.push({ method: match[1]!, target: match[2]! })
    at += match[0].length
  }
}

// The one form in which an edge asks upstream: method, path of the grammar, headers of its own, and nothing else.

const rendition = '[a-z0-9][a-z0-9-]{0,31}'
const id = '[a-z0-9][a-z0-9_-]{0,62}'
const file =
  `(?:index\\.m3u8|manifest\\.mpd|timeline\\.mpd|status\\.json|${rendition}\\.m3u8` +
  `(?:\\?_HLS_(?:msn|part|skip)=\\w{1,15}(?:&_HLS_(?:msn|part|skip)=\\w{1,15}){0,2})?` +
  `|[a-z0-9]{8,16}-\\d{1,6}/${rendition}/(?:init\\.mp4|p?\\d{1,10}\\.m4s))`

export const canonicalRequest = new RegExp(
  `^GET /(?:live|replay)/${id}/${file} HTTP/1\\.1\\r\\n` +
    'host: 127\\.0\\.0\\.1:\\d+\\r\\nconnection: keep-alive\\r\\naccept-encoding: identity\\r\\n' +
    'user-agent: nearcast/[\\w.-]+\\r\\nauthorization: Bearer node-token\\r\\n\\r\\n$',
)

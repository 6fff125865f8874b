// The H, C and P corpora as raw requests: paths, hosts, bodies and methods that must never be answered with
// anything but a refusal, whatever is live. `%H` stands for the host.

const head = 'Host: %H\r\nConnection: close\r\n'
const get = (target: string, more = '') => `GET ${target} HTTP/1.1\r\n${head}${more}\r\n`

export const hostileRequests: [string, string][] = [
  ['P dots, encoded', get('/live/demo/%2e%2e/demo/index.m3u8')],
  ['P dots, half encoded', get('/live/demo/.%2e/index.m3u8')],
  ['P dots, twice encoded', get('/live/%252e%252e/index.m3u8')],
  ['P dots, bare', get('/live/../live/demo/index.m3u8')],
  ['P a dot', get('/live/./demo/index.m3u8')],
  ['P slash, encoded', get('/live/demo%2findex.m3u8')],
  ['P slash, encoded, and dots', get('/live/..%2fdemo/index.m3u8')],
  ['P dots in overlong UTF-8', get('/live/%c0%ae%c0%ae/index.m3u8')],
  ['P two slashes in front', get('//live/demo/index.m3u8')],
  ['P two slashes inside', get('/live//demo/index.m3u8')],
  ['P backslashes', get('/live\\demo\\index.m3u8')],
  ['P NUL, encoded', get('/live/demo/index.m3u8%00')],
  ['P NUL', get('/live/demo/index.m3u8\0')],
  ['P a parameter', get('/live/demo/index.m3u8;a=1')],
  ['P upper case', get('/LIVE/demo/index.m3u8')],
  ['P a letter encoded', get('/live/dem%6f/index.m3u8')],
  ['P another ending', get('/live/demo/index.m3u8.')],
  ['P a question mark, encoded', get('/live/demo/index.m3u8%3fx')],
  ['P an id of 4 096 characters', get(`/live/${'a'.repeat(4096)}/index.m3u8`)],
  ['P a file of the machine', get('/assets/../../../../etc/passwd')],
  ['P a file of the machine, encoded', get('/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd')],
  ['P an absolute file', get('//etc/passwd')],
  ['P internal API', get('/internal/v1/events')],
  ['P API', get('/api/v1/streams')],
  ['P metrics', get('/metrics')],
  ['H16 a URL of 100 KB', get(`/live/demo/index.m3u8?${'a'.repeat(100_000)}`)],
  ['H16 a header of 17 KiB', get('/live/demo/index.m3u8', `X: ${'a'.repeat(17_408)}\r\n`)],
  ['H16 2 100 headers', get('/live/demo/index.m3u8', 'X: a\r\n'.repeat(2_100))],
  ['H10 two hosts', get('/live/demo/index.m3u8', 'Host: evil.example\r\n')],
  ['H10 no host', 'GET /live/demo/index.m3u8 HTTP/1.1\r\nConnection: close\r\n\r\n'],
  ...['', 'a/b?c', 'u:p@a', 'a, b', 'a b', '[::1', 'a:99999x'].map((host): [string, string] => [
    `H10 host ${JSON.stringify(host)}`,
    `GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
  ]),
  ['H10 a target of another host', get('http://evil.example/live/demo/index.m3u8')],
  ['H10 a target of another scheme', get('file:///etc/passwd')],
  ['H11 HTTP/0.9', 'GET /live/demo/index.m3u8\r\n\r\n'],
  ['H11 HTTP/2.0', `GET /live/demo/index.m3u8 HTTP/2.0\r\n${head}\r\n`],
  ['H11 a fragment', get('/live/demo/index.m3u8#a')],
  [
    'H12 an expectation',
    get('/live/demo/index.m3u8', 'Expect: 100-continue\r\nContent-Length: 1\r\n'),
  ],
  [
    'H13 a body',
    `${get('/live/demo/index.m3u8', 'Content-Length: 27\r\n')}GET /smuggled HTTP/1.1\r\n\r\n`,
  ],
  [
    'H01 two lengths',
    get('/live/demo/index.m3u8', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n'),
  ],
  ['H03 a length with zeros', `${get('/live/demo/index.m3u8', 'Content-Length: 0000001\r\n')}a`],
  [
    'H05 a coding after a comma',
    `${get('/live/demo/index.m3u8', 'Transfer-Encoding: ,chunked\r\n')}0\r\n\r\n`,
  ],
  [
    'H05 a coding on HTTP/1.0',
    'GET /live/demo/index.m3u8 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ...['POST', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'PURGE', 'get', 'NEARCAST'].map(
    (method): [string, string] => [
      `H15 ${method}`,
      `${method} /live/demo/index.m3u8 HTTP/1.1\r\n${head}\r\n`,
    ],
  ),
  ['H15 CONNECT', `CONNECT evil.example:443 HTTP/1.1\r\n${head}\r\n`],
  ['H15 OPTIONS *', `OPTIONS * HTTP/1.1\r\n${head}\r\n`],
  [
    'H41 a WebSocket nobody serves',
    `GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: %H\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  ],
]

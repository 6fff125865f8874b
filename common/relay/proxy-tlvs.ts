// TLVs of the PROXY v2 header between edge and gateway (PROXY protocol spec §2.2; 0xE0–0xEF are custom).

export const proxyTlv = {
  /** PP2_TYPE_AUTHORITY: the server name that the publisher's TLS connection asked for. */
  serverName: 0x02,
  popId: 0xe0,
  /** Signed token of the edge, for a gateway that does not know the edge's network. */
  nodeToken: 0xe1,
} as const

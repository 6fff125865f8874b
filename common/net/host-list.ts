// The names under which a node answers, where an operator has said them.

export interface HostList {
  /** `host` as a request has it, with or without a port. */
  includes(host: string): boolean
}

/** True for text that `createHostList` takes: a name, `*.` and a name, an IPv4 address, or an IPv6 address in brackets. */
export function isHostEntry(text: string): boolean {
  return /^(?:(?:\*\.)?[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\])$/i.test(text)
}

/** `*.example.com` stands for one label in front. Undefined for no entries: any host is taken. */
export function createHostList(entries: readonly string[]): HostList | undefined {
  if (entries.length === 0) return undefined
  const names = new Set(entries.map((entry) => entry.toLowerCase()))
  return {
    includes(host) {
      const name = host.replace(/:\d+$/, '').replace(/\.$/, '').toLowerCase()
      const dot = name.indexOf('.')
      return names.has(name) || (dot > 0 && names.has(`*${name.slice(dot)}`))
    },
  }
}

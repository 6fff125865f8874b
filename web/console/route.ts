// Which screen the fragment of the address names.

export type Route =
  | { screen: 'streams' }
  | { screen: 'nodes' }
  | { screen: 'ring' }
  | { screen: 'channels' }
  | { screen: 'channel'; liveId: string }

export const tabs = ['streams', 'channels', 'nodes', 'ring'] as const
export type Tab = (typeof tabs)[number]

export function readRoute(fragment: string): Route {
  const [, first = '', second] = /^#\/([a-z]+)(?:\/([a-z0-9_-]+))?$/.exec(fragment) ?? []
  if (first === 'channels' && second) return { screen: 'channel', liveId: second }
  const tab = tabs.find((name) => name === first)
  return { screen: tab ?? 'streams' }
}

export function hrefOf(route: Route): string {
  return route.screen === 'channel' ? `#/channels/${route.liveId}` : `#/${route.screen}`
}

export function tabOf(route: Route): Tab {
  return route.screen === 'channel' ? 'channels' : route.screen
}

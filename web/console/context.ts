// What every screen of a signed-in console works with.
import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { Store } from '../common/store.ts'
import { useStore } from '../common/use-store.ts'
import { ApiClient } from './api/client.ts'
import type { ClusterState } from './api/shapes.ts'
import type { FeedView } from './api/state-feed.ts'

export interface ConsoleContext {
  client: ApiClient
  feed: Store<FeedView>
  /** Stream keys made since the page was opened, by live id: the only place where they are still known. */
  freshKeys: Store<ReadonlyMap<string, string>>
}

export const consoleContext = createContext<ConsoleContext>({
  client: new ApiClient({ fetch, token: null }),
  feed: new Store<FeedView>({ connection: 'connecting', state: null }),
  freshKeys: new Store<ReadonlyMap<string, string>>(new Map()),
})

export function useConsole(): ConsoleContext {
  return useContext(consoleContext)
}

const emptyState: ClusterState = { now: '', nodes: [], streams: [] }

/** The newest state; empty before the first one. */
export function useClusterState(): ClusterState & { isLoaded: boolean } {
  const { state } = useStore(useConsole().feed)
  return { ...(state ?? emptyState), isLoaded: state !== null }
}

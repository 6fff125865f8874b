// The console: signed in or not, and which screen.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { Brand } from '../common/brand.tsx'
import { LanguageSwitch } from '../common/speech.tsx'
import { Store } from '../common/store.ts'
import { useStore } from '../common/use-store.ts'
import { browserFeed } from './api/browser-feed.ts'
import { ApiClient, ApiError } from './api/client.ts'
import { ChannelScreen } from './channels/channel-screen.tsx'
import { ChannelsScreen } from './channels/channels-screen.tsx'
import { type ConsoleContext, consoleContext, useConsole } from './context.ts'
import { NodesScreen } from './nodes/nodes-screen.tsx'
import { RingScreen } from './ring/ring-screen.tsx'
import { hrefOf, type Route, readRoute, tabOf, tabs } from './route.ts'
import { SignIn } from './session/sign-in.tsx'
import { codeOf, TokenStore } from './session/token-store.ts'
import { useSpeech } from './speech.ts'
import { StreamsScreen } from './streams/streams-screen.tsx'

const fetchFrom: typeof fetch = (...args) => fetch(...args)

type Session =
  | { state: 'redeeming' }
  | { state: 'out'; error?: unknown; hasEnded?: boolean }
  | { state: 'in'; token: string }

const tokens = new TokenStore(sessionStorage)

export function App() {
  const [session, setSession] = useState<Session>(() => {
    if (codeOf(location.hash)) return { state: 'redeeming' }
    const token = tokens.read()
    return token === null ? { state: 'out' } : { state: 'in', token }
  })

  useEffect(() => {
    const code = codeOf(location.hash)
    if (!code) return
    // Out of the address, and so out of the history, before anything else can happen.
    history.replaceState(null, '', location.pathname)
    const client = new ApiClient({ fetch: fetchFrom, token: null })
    client.openSession(code).then(
      ({ token }) => {
        tokens.write(token)
        setSession({ state: 'in', token })
      },
      (error) => {
        // A page that is loaded again may hold a good token although the code is spent.
        const token = tokens.read()
        setSession(token === null ? { state: 'out', error } : { state: 'in', token })
      },
    )
  }, [])

  const signIn = async (token: string) => {
    await new ApiClient({ fetch: fetchFrom, token }).nodes()
    tokens.write(token)
    setSession({ state: 'in', token })
  }
  const signOut = (hasEnded: boolean) => {
    tokens.write(null)
    setSession({ state: 'out', hasEnded })
  }

  if (session.state === 'in') {
    return <SignedIn key={session.token} token={session.token} onSignedOut={signOut} />
  }
  return (
    <SignIn
      isWorking={session.state === 'redeeming'}
      error={session.state === 'out' ? session.error : undefined}
      hasEnded={session.state === 'out' && session.hasEnded === true}
      onToken={signIn}
    />
  )
}

function SignedIn(props: { token: string; onSignedOut(hasEnded: boolean): void }) {
  const { token, onSignedOut } = props
  const context = useMemo<ConsoleContext & { run(): () => void }>(() => {
    const ended = () => onSignedOut(true)
    const client = new ApiClient({ fetch: fetchFrom, token, onSignedOut: ended })
    const feed = browserFeed(client, token, ended)
    return {
      client,
      feed: feed.view,
      freshKeys: new Store<ReadonlyMap<string, string>>(new Map()),
      run() {
        void feed.run()
        return () => feed.stop()
      },
    }
  }, [token])
  useEffect(() => context.run(), [context])
  const signOut = async () => {
    try {
      await context.client.closeSession()
    } catch (err) {
      // An API token is no session and stays valid: it is only forgotten here.
      if (!(err instanceof ApiError)) throw err
    }
    onSignedOut(false)
  }
  return (
    <consoleContext.Provider value={context}>
      <Frame onSignOut={signOut} />
    </consoleContext.Provider>
  )
}

function Frame({ onSignOut }: { onSignOut(): void }) {
  const { t, language, speak } = useSpeech()
  const route = useRoute()
  const tab = tabOf(route)
  useEffect(() => {
    document.title = `${t(`tab.${tab}`)} – Nearcast`
  }, [tab, t])
  return (
    <div class="frame">
      <header class="masthead">
        <a class="brand-link" href="#/streams">
          <Brand />
        </a>
        <Connection />
        <div class="masthead-actions">
          <LanguageSwitch label={t('site.language')} language={language} speak={speak} />
          <button type="button" class="button quiet" onClick={onSignOut}>
            {t('site.sign-out')}
          </button>
        </div>
      </header>
      <nav class="tabs" aria-label={t('site.sections')}>
        {tabs.map((name) => (
          <a
            key={name}
            href={hrefOf({ screen: name })}
            aria-current={name === tab ? 'page' : undefined}
          >
            {t(`tab.${name}`)}
          </a>
        ))}
      </nav>
      <main>
        <Screen route={route} />
      </main>
    </div>
  )
}

function Screen({ route }: { route: Route }) {
  switch (route.screen) {
    case 'streams':
      return <StreamsScreen />
    case 'nodes':
      return <NodesScreen />
    case 'ring':
      return <RingScreen />
    case 'channels':
      return <ChannelsScreen />
    case 'channel':
      return <ChannelScreen key={route.liveId} liveId={route.liveId} />
  }
}

function Connection() {
  const { t } = useSpeech()
  const { connection } = useStore(useConsole().feed)
  return (
    <p role="status" class={`connection connection-${connection}`}>
      <span class="dot" aria-hidden="true" />
      {t(`feed.${connection}`)}
    </p>
  )
}

function useRoute(): Route {
  const [route, setRoute] = useState(() => readRoute(location.hash))
  useEffect(() => {
    const read = () => {
      setRoute(readRoute(location.hash))
      scrollTo(0, 0)
    }
    addEventListener('hashchange', read)
    return () => removeEventListener('hashchange', read)
  }, [])
  return route
}

// The whole page: stage, what is on, settings; keys; and the status poll that drives it all.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Clock } from '../../common/clock.ts'
import { Brand } from '../common/brand.tsx'
import { readPreference, writePreference } from '../common/preferences.ts'
import { LanguageSwitch } from '../common/speech.tsx'
import { useStore } from '../common/use-store.ts'
import { About } from './about.tsx'
import { Curtain } from './curtain.tsx'
import { exposeDiagnostics } from './diagnostics.ts'
import { actionOf, type KeyAction } from './keys.ts'
import { KeysDialog } from './keys-dialog.tsx'
import type { Protocol } from './player/engine.ts'
import { type Address, type Programme, readAddress, searchOf, statusUrl } from './programme.ts'
import { SettingsPanel } from './settings-panel.tsx'
import { useSpeech } from './speech.ts'
import { Stage } from './stage.tsx'
import { StatusPoll } from './status-poll.ts'
import { Theatre } from './theatre.ts'

export interface WatchPageProps {
  address: Address | undefined
  protocol: Protocol
  clock: Clock
}

export function WatchPage({ address, protocol, clock }: WatchPageProps) {
  const { t, language, speak } = useSpeech()
  return (
    <>
      <a class="skip" href="#player">
        {t('site.skip')}
      </a>
      <header class="masthead">
        <Brand />
        <LanguageSwitch label={t('site.language')} language={language} speak={speak} />
      </header>
      <main>
        {address ? (
          <Show address={address} protocol={protocol} clock={clock} />
        ) : (
          <section class="stage" id="player" tabIndex={-1}>
            <div class="picture">
              <Curtain
                scene="no-such-channel"
                liveId={null}
                replayId={null}
                onReplay={() => {}}
                onRetry={() => {}}
              />
            </div>
          </section>
        )}
      </main>
    </>
  )
}

function Show({ address, protocol, clock }: WatchPageProps & { address: Address }) {
  const { liveId } = address
  const stage = useRef<HTMLElement>(null)
  const keys = useRef<HTMLDialogElement>(null)
  const [theatre] = useState(
    () =>
      new Theatre({
        liveId,
        programme: address.programme,
        protocol,
        latencyMode: readPreference('latency') === 'normal' ? 'normal' : 'low',
        isMuted: readPreference('sound') !== 'on',
        clock,
      }),
  )
  const view = useStore(theatre.view)
  const isReplay = view.programme.kind === 'replay'

  usePoll(theatre, liveId, clock)
  useTitle(view.status?.title || liveId, view.status?.state === 'live' && !isReplay)
  useEffect(() => exposeDiagnostics(theatre), [theatre])
  useEffect(() => {
    writePreference('sound', view.isMuted ? 'off' : 'on')
  }, [view.isMuted])

  useEffect(() => writePreference('latency', view.latencyMode), [view.latencyMode])

  const show = (programme: Programme) => {
    history.pushState(null, '', `${location.pathname}${searchOf(programme)}`)
    theatre.setProgramme(programme)
  }
  useEffect(() => {
    const back = () => {
      const programme = readAddress(location.pathname, location.search)?.programme
      theatre.setProgramme(programme ?? { kind: 'live' })
    }
    addEventListener('popstate', back)
    return () => removeEventListener('popstate', back)
  }, [theatre])

  const toggleFullscreen = () => {
    const video = stage.current?.querySelector<
      HTMLVideoElement & { webkitEnterFullscreen?: () => void }
    >('video')
    if (document.fullscreenElement) void document.exitFullscreen()
    else if (stage.current?.requestFullscreen) stage.current.requestFullscreen().catch(() => {})
    // Phones that let only a video fill the screen.
    else video?.webkitEnterFullscreen?.()
  }
  const actions = useMemo<Record<KeyAction, () => void>>(
    () => ({
      play: () => theatre.togglePlay(),
      mute: () => theatre.setMuted(!theatre.view.get().isMuted),
      louder: () => theatre.setVolume(theatre.view.get().volume + 0.1),
      softer: () => theatre.setVolume(theatre.view.get().volume - 0.1),
      back: () => theatre.seekBy(-5),
      forward: () => theatre.seekBy(5),
      live: () => theatre.goLive(),
      fullscreen: toggleFullscreen,
      protocol: () => theatre.setProtocol(theatre.view.get().protocol === 'hls' ? 'dash' : 'hls'),
      help: () => keys.current?.showModal(),
    }),
    [theatre],
  )
  useKeys(actions, keys)

  return (
    <>
      <Stage
        theatre={theatre}
        liveId={liveId}
        stage={stage}
        onReplay={(replayId) => show({ kind: 'replay', replayId })}
        onFullscreen={toggleFullscreen}
        onKeys={() => keys.current?.showModal()}
      />
      <div class="below">
        {view.scene !== 'no-such-channel' && (
          <>
            <About
              liveId={liveId}
              status={view.status}
              isReplay={isReplay}
              clockOffsetMs={() => theatre.clockOffsetMs}
              onWatchLive={() => show({ kind: 'live' })}
            />
            <SettingsPanel theatre={theatre} />
          </>
        )}
      </div>
      <KeysDialog dialog={keys} />
    </>
  )
}

function usePoll(theatre: Theatre, liveId: string, clock: Clock): void {
  useEffect(() => {
    const poll = new StatusPoll({
      url: statusUrl(liveId),
      clock,
      async fetch(url, init) {
        const response = await fetch(url, init)
        const date = Date.parse(response.headers.get('date') ?? '')
        if (!Number.isNaN(date)) theatre.clockOffsetMs = date - clock.now()
        return response
      },
      isHidden: () => document.hidden,
      random: Math.random,
      onAnswer: (answer) => theatre.answer(answer),
    })
    void poll.run()
    const hurry = () => {
      if (!document.hidden) poll.hurry()
    }
    addEventListener('online', hurry)
    document.addEventListener('visibilitychange', hurry)
    return () => {
      poll.stop()
      removeEventListener('online', hurry)
      document.removeEventListener('visibilitychange', hurry)
    }
  }, [theatre, liveId, clock])
}

function useTitle(title: string, isLive: boolean): void {
  useEffect(() => {
    document.title = `${isLive ? '● ' : ''}${title} – Nearcast`
  }, [title, isLive])
}

function useKeys(
  actions: Record<KeyAction, () => void>,
  dialog: { current: HTMLDialogElement | null },
): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (dialog.current?.open || event.defaultPrevented) return
      const target = event.target instanceof HTMLElement ? event.target : null
      const action = actionOf({
        key: event.key,
        ctrlKey: event.ctrlKey,
        metaKey: event.metaKey,
        altKey: event.altKey,
        target: target?.tagName.toLowerCase() ?? '',
        inputType: target instanceof HTMLInputElement ? target.type : null,
      })
      if (!action) return
      event.preventDefault()
      actions[action]()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [actions, dialog])
}

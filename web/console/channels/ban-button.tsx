// Keeps a channel off the air, and lets it on again.
import { useState } from 'preact/hooks'
import type { Channel } from '../api/shapes.ts'
import { useConsole } from '../context.ts'
import { Confirm } from '../parts.tsx'
import { useSpeech } from '../speech.ts'

export function BanButton(props: { channel: Channel; onChanged(channel: Channel): void }) {
  const { t } = useSpeech()
  const { client } = useConsole()
  const [isAsking, setAsking] = useState(false)
  const { liveId, bannedAt } = props.channel
  const isBanned = bannedAt !== null
  const action = t(isBanned ? 'channel.unban' : 'channel.ban')
  return (
    <>
      <button
        type="button"
        class={`button ${isBanned ? '' : 'danger'}`}
        onClick={() => setAsking(true)}
      >
        {action}
      </button>
      {isAsking && (
        <Confirm
          title={t(isBanned ? 'channel.unban-title' : 'channel.ban-title', { liveId })}
          text={t(isBanned ? 'channel.unban-text' : 'channel.ban-text')}
          action={action}
          isDanger={!isBanned}
          onConfirm={async () => props.onChanged(await client.setBanned(liveId, !isBanned))}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  )
}

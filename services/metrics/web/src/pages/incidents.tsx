import { useState } from "preact/hooks";
import { get, type Incident, type IncidentEvent, type IncidentPage, post, Problem } from "../api";
import { useAnswer } from "../answer";
import { moment, short } from "../format";
import { ask, go, type Place } from "../place";
import { Choice, Link, Panel, Shown } from "../parts";
import { t, valueName } from "../words";

/** Bursts and storms are about many conversations under a name of their own. */
const isOne = (conversation: string) => !/^(pulse|queue):/.test(conversation);

type Action = "acknowledge" | "snooze" | "reassign" | "escalate" | "markFalsePositive" | "resolve";

/** How long an incident can be put off, seconds. */
const SNOOZES = [900, 3_600, 14_400, 86_400];

const length = (seconds: number) => (seconds < 3_600 ? `${seconds / 60} min` : `${seconds / 3_600} h`);

function Actions(props: { incident: Incident; done: () => void }) {
  const { incident } = props;
  const [note, setNote] = useState("");
  const [snooze, setSnooze] = useState(SNOOZES[0]);
  const [assignee, setAssignee] = useState("");
  const [busy, setBusy] = useState(false);
  const [told, setTold] = useState<string>();
  const act = async (action: Action, more: object = {}) => {
    setBusy(true);
    setTold(undefined);
    try {
      // The version that was seen: somebody else may have been faster.
      await post(`/v1/incidents/${encodeURIComponent(incident.incident_id)}:${action}`, {
        expected_version: incident.version,
        command_id: crypto.randomUUID(),
        note,
        ...more,
      });
      setNote("");
      setAssignee("");
      setTold(t("done"));
    } catch (error) {
      setTold(error instanceof Problem ? error.message : String(error));
    }
    setBusy(false);
    props.done();
  };
  if (incident.state === "resolved") return null;
  const button = (action: Action, label: string, second = true) => (
    <button type="button" class={second ? "second" : ""} disabled={busy} onClick={() => void act(action)}>
      {label}
    </button>
  );
  const known = [...new Set((incident.pages ?? []).map((page) => page.destination))];
  return (
    <div class="actions">
      <label>
        <span>{t("note")}</span>
        <input value={note} maxLength={2000} onInput={(event) => setNote(event.currentTarget.value)} />
      </label>
      <div class="row">
        {incident.state !== "acknowledged" && button("acknowledge", t("acknowledge"), false)}
        {button("resolve", t("resolve"))}
        {button("markFalsePositive", t("false_positive"))}
        {button("escalate", t("escalate_now"))}
      </div>
      <div class="row">
        <label>
          <span>{t("snooze_for")}</span>
          <select value={snooze} onChange={(event) => setSnooze(Number(event.currentTarget.value))}>
            {SNOOZES.map((seconds) => (
              <option key={seconds} value={seconds}>
                {length(seconds)}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class="second" disabled={busy} onClick={() => void act("snooze", { duration: `${snooze}s` })}>
          {t("snooze")}
        </button>
      </div>
      <div class="row">
        <label>
          <span>{t("reassign_to")}</span>
          <input value={assignee} maxLength={128} list="destinations" onInput={(event) => setAssignee(event.currentTarget.value)} />
        </label>
        <datalist id="destinations">
          {known.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <button type="button" class="second" disabled={busy || assignee.trim() === ""} onClick={() => void act("reassign", { destination: assignee.trim() })}>
          {t("reassign")}
        </button>
      </div>
      <p role="status" class="quiet">
        {told}
      </p>
    </div>
  );
}

/** Who was told, and whether it arrived. */
function Deliveries(props: { pages: IncidentPage[] }) {
  if (props.pages.length === 0) return <p class="quiet">{t("nobody_told")}</p>;
  return (
    <ul class="deliveries">
      {props.pages.map((page) => (
        <li key={page.page_id}>
          <span class={`tag ${page.state}`}>{t(`page_${page.state}` as Parameters<typeof t>[0])}</span> {page.destination}{" "}
          {page.created_at && <time>{moment(page.created_at)}</time>}{" "}
          <span class="quiet">
            {t("attempts")} {page.attempts}
            {page.detail && ` · ${page.detail}`}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Detail(props: { id: string; changed: () => void }) {
  const path = `/v1/incidents/${encodeURIComponent(props.id)}`;
  const one = useAnswer(`incident ${props.id}`, (signal) => get<{ incident: Incident }>(path, signal), 5_000);
  const events = useAnswer(`events ${props.id}`, (signal) => get<{ events: IncidentEvent[] }>(`${path}/events`, signal), 5_000);
  const done = () => {
    one.again();
    events.again();
    props.changed();
  };
  return (
    <Panel title={t("details")} id={props.id} class="detail">
      <Shown of={one}>
        {({ incident }) => (
          <>
            <p>
              <span class={`tag ${incident.severity}`}>{valueName(incident.severity)}</span>
              <span class={`tag ${incident.state}`}>{valueName(incident.state)}</span> {valueName(incident.kind)}
              {incident.category && ` · ${valueName(incident.category)}`}
            </p>
            <p class="quiet">
              {isOne(incident.conversation_id) ? (
                <>
                  {t("conversation")} <Link to={`/conversations/${encodeURIComponent(incident.conversation_id)}`}>{short(incident.conversation_id)}</Link>
                </>
              ) : (
                incident.conversation_id
              )}
              {incident.owner && ` · ${t("owner")} ${incident.owner}`}
              {incident.assigned_to && ` · ${t("assigned_to")} ${incident.assigned_to}`}
              {incident.state === "snoozed" && incident.next_at && (
                <>
                  {" "}
                  · {t("until")} <time>{moment(incident.next_at)}</time>
                </>
              )}
              {incident.exhausted_reason && ` · ${t("reason")} ${valueName(incident.exhausted_reason)}`}
            </p>
            <h3>{t("evidence")}</h3>
            {incident.evidence.map((evidence) => (
              <blockquote key={evidence.event_id}>
                {isOne(incident.conversation_id) ? (
                  <Link to={`/conversations/${encodeURIComponent(incident.conversation_id)}?event=${encodeURIComponent(evidence.event_id)}`}>
                    {evidence.excerpt || valueName(evidence.kind)}
                  </Link>
                ) : (
                  evidence.excerpt || (evidence.rules ?? []).join(" · ") || valueName(evidence.kind)
                )}
                {(evidence.related ?? []).map((id) => (
                  <>
                    {" "}
                    <Link key={id} to={`/conversations/${encodeURIComponent(id)}`}>
                      {short(id)}
                    </Link>
                  </>
                ))}
              </blockquote>
            ))}
            <Actions key={incident.incident_id} incident={incident} done={done} />
            <h3>{t("deliveries")}</h3>
            <Deliveries pages={incident.pages ?? []} />
          </>
        )}
      </Shown>
      <h3>{t("timeline")}</h3>
      <Shown of={events} empty={({ events }) => events.length === 0}>
        {({ events }) => (
          <ol class="timeline">
            {events.map((event) => (
              <li key={event.event_id}>
                <time>{moment(event.at)}</time> <strong>{valueName(event.type)}</strong> {event.actor} {event.note && <q>{event.note}</q>}
              </li>
            ))}
          </ol>
        )}
      </Shown>
    </Panel>
  );
}

export function IncidentsPage(props: { place: Place; id?: string | undefined }) {
  const all = props.place.search.get("show") === "all";
  const list = useAnswer(`incidents ${all}`, (signal) => get<{ incidents: Incident[]; warnings: string[] }>(`/v1/incidents?limit=200${all ? "&all" : ""}`, signal), 4_000);
  return (
    <div class={props.id ? "two master chosen" : "two master"}>
      <Panel
        title={t("incidents")}
        aside={<Choice label={t("state")} of={["open", "all"] as const} chosen={all ? "all" : "open"} name={(one) => t(`incidents_${one}`)} choose={(one) => ask({ show: one === "all" ? "all" : undefined })} />}
      >
        <Shown of={list} empty={({ incidents }) => incidents.length === 0} none={t("no_incidents")}>
          {({ incidents, warnings }) => (
            <>
              {warnings[0] && (
                <p class="stale" role="status">
                  {t("warning")}: {warnings[0]}
                </p>
              )}
              <ul class="queue choose">
                {incidents.map((one) => (
                  <li key={one.incident_id} class={one.incident_id === props.id ? "chosen" : ""}>
                    <span class={`tag ${one.severity}`}>{valueName(one.severity)}</span>
                    <div>
                      <p class="said">
                        <Link to={`/incidents/${one.incident_id}${location.search}`} current={one.incident_id === props.id}>
                          {one.evidence[0]?.excerpt || valueName(one.kind)}
                        </Link>
                      </p>
                      <p class="quiet">
                        {valueName(one.category || one.kind)} · <span class={`tag ${one.state}`}>{valueName(one.state)}</span> {one.owner}{" "}
                        {one.triggered_at && <time>{moment(one.triggered_at)}</time>}
                      </p>
                    </div>
                  </li>
                ))}
              </ul>
            </>
          )}
        </Shown>
      </Panel>
      {props.id && (
        <div>
          <button type="button" class="second back" onClick={() => go(`/incidents${location.search}`)}>
            ← {t("nav_incidents")}
          </button>
          <Detail key={props.id} id={props.id} changed={list.again} />
        </div>
      )}
    </div>
  );
}

import { useEffect, useState } from "preact/hooks";
import { get, type Incident, type IncidentEvent, type IncidentPage, post, type Warning } from "../api";
import { useAnswer } from "../answer";
import { count, moment, short } from "../format";
import { ask, go, type Place } from "../place";
import { byGravity } from "../good";
import { Choice, Link, Named, Panel, Shown, Tag, told } from "../parts";
import { said, saidRule } from "../said";
import { language, t, tell, valueName } from "../words";

/** Bursts and storms are about many conversations under a name of their own. */
const isOne = (conversation: string) => !/^(pulse|queue):/.test(conversation);

type Action = "acknowledge" | "snooze" | "reassign" | "escalate" | "markFalsePositive" | "resolve";

/** How long an incident can be put off, seconds. */
const SNOOZES = [900, 3_600, 14_400, 86_400];

const length = (seconds: number) => {
  const zh = language() === "zh";
  return seconds < 3_600 ? `${seconds / 60} ${zh ? "分钟" : "min"}` : `${seconds / 3_600} ${zh ? "小时" : "h"}`;
};

/** What bursts and storms are about, whose name is no conversation's. */
function about(name: string): string {
  const [kind, ...rest] = name.split(":");
  if (kind === "queue") return `${t("filter_queue")} ${rest.join(":") || t("none")}`;
  return rest.map(valueName).join(" · ");
}

/** A warning in the reader's language; one that is not known as the service says it. */
function warned(one: Warning): string {
  const whose = one.tenant === "*" ? t("other_tenants") : one.tenant;
  const families = (one.families ?? []).map(valueName).join(t("and"));
  switch (one.code) {
    case "configuration_unreadable":
      return tell("warn_configuration_unreadable", whose, one.detail);
    case "destinations_fail":
      return tell("warn_destinations_fail", one.team, one.destination, said(one.detail));
    case "nobody_configured":
      return tell("warn_nobody_configured", whose);
    case "no_default_team":
      return tell("warn_no_default_team", whose);
    case "nobody_in_team":
      return tell(one.cause === "only_watchers" ? "warn_only_watchers" : "warn_nobody_in_team", one.team, families || t("all_incidents"));
    case "incidents_page_nobody":
      return tell("warn_incidents_page_nobody", count(one.count), valueName(one.cause));
    default:
      return one.message;
  }
}

/** What an incident is called in a list: what was said, or what has happened. */
export const titleOf = (one: Incident): string => one.evidence[0]?.excerpt || valueName(one.kind);

/** What else tells it apart: its category, or where it happened if nothing was said. */
export function aboutOf(one: Incident): string {
  const where = isOne(one.conversation_id) ? short(one.conversation_id) : about(one.conversation_id);
  if (one.evidence[0]?.excerpt) return valueName(one.category || one.kind);
  return one.queue ? `${one.queue} ${where}` : where;
}

/** How often is looked whether the timeline shows what was done. */
const SOON_MS = 700;

/** `awaited` is the version that a command led to until the timeline shows it. */
function Actions(props: { incident: Incident; awaited: number | undefined; shown: number; sent: (version: number) => void; failed: () => void }) {
  const { incident, awaited } = props;
  const [note, setNote] = useState("");
  const [snooze, setSnooze] = useState(SNOOZES[0]);
  const [assignee, setAssignee] = useState("");
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState<string>();
  const act = async (action: Action, more: object = {}) => {
    setBusy(true);
    setRefusal(undefined);
    try {
      // The version that was seen: somebody else may have been faster.
      const answer = await post<{ incident?: Incident }>(`/v1/incidents/${encodeURIComponent(incident.incident_id)}:${action}`, {
        expected_version: incident.version,
        command_id: crypto.randomUUID(),
        note,
        ...more,
      });
      setNote("");
      setAssignee("");
      props.sent(Number(answer?.incident?.version ?? Number(incident.version) + 1));
    } catch (error) {
      setRefusal(told(error));
      props.failed();
    }
    setBusy(false);
  };
  const status = refusal ?? (awaited === undefined ? undefined : t(props.shown >= awaited ? "done" : "awaiting"));
  if (incident.state === "resolved") {
    return (
      <p role="status" class="quiet">
        {status}
      </p>
    );
  }
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
        {status}
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
          <Tag of={page.state}>{t(`page_${page.state}` as Parameters<typeof t>[0])}</Tag> {page.destination}{" "}
          {page.created_at && <time>{moment(page.created_at)}</time>}{" "}
          <span class="quiet">
            {t("attempts")} {page.attempts}
            {page.detail && ` · ${said(page.detail)}`}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Detail(props: { id: string; changed: () => void }) {
  const path = `/v1/incidents/${encodeURIComponent(props.id)}`;
  const one = useAnswer(`incident ${props.id}`, (signal) => get<{ incident: Incident }>(path, signal), 5_000);
  const [awaited, setAwaited] = useState<number>();
  const [waits, setWaits] = useState(false);
  // The timeline comes from the tables, a moment after the command was answered.
  const events = useAnswer(`events ${props.id}`, (signal) => get<{ events: IncidentEvent[] }>(`${path}/events`, signal), waits ? SOON_MS : 5_000);
  const newest = Math.max(0, ...(events.data?.events ?? []).map((event) => Number(event.version)));
  useEffect(() => setWaits(awaited !== undefined && newest < awaited), [awaited, newest]);
  const again = () => {
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
              <Tag of={incident.severity} />
              <Tag of={incident.state} /> <Named of={incident.kind} />
              {incident.category && incident.category !== incident.kind && (
                <>
                  {" "}
                  · <Named of={incident.category} />
                </>
              )}
            </p>
            <p class="quiet">
              {isOne(incident.conversation_id) ? (
                <>
                  {t("conversation")} <Link to={`/conversations/${encodeURIComponent(incident.conversation_id)}`}>{short(incident.conversation_id)}</Link>
                </>
              ) : (
                <span title={incident.conversation_id}>{about(incident.conversation_id)}</span>
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
                  evidence.excerpt || (evidence.rules ?? []).map(saidRule).join(" · ") || valueName(evidence.kind)
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
            <Actions
              key={incident.incident_id}
              incident={incident}
              awaited={awaited}
              shown={newest}
              sent={(version) => {
                setAwaited(version);
                setWaits(true);
                again();
              }}
              failed={again}
            />
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
                <time>{moment(event.at)}</time> <strong>{valueName(event.type)}</strong> {event.actor} {event.note && (event.actor ? <q>{event.note}</q> : <span class="quiet">{said(event.note)}</span>)}
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
  const list = useAnswer(`incidents ${all}`, (signal) => get<{ incidents: Incident[]; warnings: string[]; details?: Warning[] }>(`/v1/incidents?limit=200${all ? "&all" : ""}`, signal), 4_000);
  return (
    <div class={props.id ? "two master chosen" : "two master"}>
      <Panel
        title={t("incidents")}
        aside={<Choice label={t("state")} of={["open", "all"] as const} chosen={all ? "all" : "open"} name={(one) => t(`incidents_${one}`)} choose={(one) => ask({ show: one === "all" ? "all" : undefined })} />}
      >
        <Shown of={list} empty={({ incidents, details }) => incidents.length === 0 && !details?.length} none={t("no_incidents")}>
          {({ incidents, details }) => (
            <>
              {(details ?? []).slice(0, 3).map((one) => (
                <p key={one.message} class="stale" role="status" title={one.message}>
                  {t("warning")}: {warned(one)}
                </p>
              ))}
              <ul class="queue graded choose">
                {[...incidents.filter((one) => one.state !== "resolved").sort(byGravity), ...incidents.filter((one) => one.state === "resolved")].map((one) => (
                  <li key={one.incident_id} class={one.incident_id === props.id ? "chosen" : ""}>
                    <Tag of={one.severity} />
                    <div>
                      <p class="said">
                        <Link to={`/incidents/${one.incident_id}${location.search}`} current={one.incident_id === props.id}>
                          {titleOf(one)}
                        </Link>
                      </p>
                      <p class="quiet">
                        {aboutOf(one)} · <Tag of={one.state} /> {one.owner}{" "}
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
      {!props.id && (
        <Panel title={t("details")} class="hint">
          <p class="quiet">{t("choose_incident")}</p>
        </Panel>
      )}
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

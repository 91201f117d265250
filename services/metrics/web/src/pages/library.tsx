import { type Metric, type PhraseUse, post, type StandardPhrase } from "../api";
import { useAnswer } from "../answer";
import { count, day, percent } from "../format";
import { ask, keeping, type Place, scopeOf } from "../place";
import { Choice, interval, Link, Panel, Scroll, Shown, Tile } from "../parts";
import { value } from "../format";
import { language, t, valueName } from "../words";
import { useComparison, useRank } from "./figures";

/** Days from which a library is old, and too old (metric book). */
const OLD = 31;
const TOO_OLD = 92;
const SHOWN = ["unused", "overused", "all"] as const;
/** Classes of wording that takes points away. */
const BAD = ["blunt", "curt", "imperative", "blame", "flat_refusal", "dismissive", "insult", "threat", "sarcasm", "vague", "over_promise", "refusal"];

function LevelTile(props: { metric: Metric; place: Place; level: string }) {
  const search = new URLSearchParams(props.place.search);
  search.set("level", props.level);
  const place = { ...props.place, search };
  return <Tile metric={props.metric} compared={useComparison(props.metric, place)} title={`${valueName(props.level)} · ${t("coverage")}`} to={keeping(`/metrics/${props.metric.id}`, { level: props.level })} />;
}

export function LevelTiles(props: { metric: Metric; place: Place }) {
  return (
    <>
      {["basic", "professional", "emotion"].map((level) => (
        <LevelTile key={level} metric={props.metric} place={props.place} level={level} />
      ))}
    </>
  );
}

/** Phrases that were due and not said, the most often missed first. */
function Gaps(props: { metric: Metric; place: Place; reads: boolean }) {
  const ranked = useRank(props.metric, props.place, "slot");
  const missed = (figure: { n: string; value?: number }) => Math.round(Number(figure.n) * (1 - (figure.value ?? 1)));
  return (
    <Panel title={t("gaps")} id={props.metric.id} csv>
      <Shown of={ranked} empty={({ ranks }) => ranks.length === 0}>
        {({ ranks }) => (
          <Scroll label={t("gaps")}>
            <table class="list">
              <thead>
                <tr>
                  <th>{t("by_slot")}</th>
                  <th class="number">{t("slot_due")}</th>
                  <th class="number">{t("missing")}</th>
                  <th class="number">{t("coverage")}</th>
                  <th class="number">{t("interval")}</th>
                </tr>
              </thead>
              <tbody>
                {[...ranks]
                  .sort((a, b) => missed(b.figure) - missed(a.figure))
                  .map(({ group, figure }) => (
                    <tr key={group}>
                      <th scope="row">{valueName(group)}</th>
                      <td class="number">{count(figure.n)}</td>
                      <td class="number">
                        {props.reads && missed(figure) > 0 ? (
                          <Link to={keeping("/conversations", { metric: props.metric.id, slot: group, order: "least" })}>{count(missed(figure))}</Link>
                        ) : (
                          count(missed(figure))
                        )}
                      </td>
                      <td class="number">{value(props.metric, figure.value)}</td>
                      <td class="number">{interval(props.metric, figure) ?? ""}</td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Shown>
    </Panel>
  );
}

function Phrases(props: { of: PhraseUse; place: Place }) {
  const { phrases, conversations } = props.of;
  const wanted = props.place.search.get("show");
  const show = SHOWN.find((one) => one === wanted) ?? "unused";
  const said = props.place.search.get("phrases") ?? language();
  const lang = said === "en" ? "en" : "zh";
  const ofLanguage = phrases.filter((one) => one.lang === lang);
  const rows = ofLanguage.filter((one) => show === "all" || one.standing === show).sort((a, b) => Number(b.messages) - Number(a.messages));
  const counted = (standing: StandardPhrase["standing"]) => ofLanguage.filter((one) => one.standing === standing).length;
  return (
    <Panel
      title={t("standard_phrases")}
      csv={() => [["id", "lang", "level", "text", "standing", "messages", "conversations", "agents", "last_at"], ...phrases.map((one) => [one.id, one.lang, one.level, one.text, one.standing, Number(one.messages), Number(one.conversations), Number(one.agents), one.last_at])]}
      aside={
        <span class="filters">
          <Choice label={t("language_of")} of={["zh", "en"] as const} chosen={lang} name={(one) => t(`language_${one}`)} choose={(one) => ask({ phrases: one })} />
          <Choice label={t("phrases_shown")} of={SHOWN} chosen={show} name={(one) => t(`phrases_${one}`)} choose={(one) => ask({ show: one === "unused" ? undefined : one })} />
        </span>
      }
    >
      <p class="quiet">
        {t("phrases_unused")} {counted("unused")} · {t("phrases_overused")} {counted("overused")} · {t("phrases_all")} {ofLanguage.length}
      </p>
      {rows.length === 0 ? (
        <p class="quiet">{t("no_such_phrases")}</p>
      ) : (
        <Scroll tall label={t("standard_phrases")}>
          <table class="list">
            <thead>
              <tr>
                <th>{t("words")}</th>
                <th>{t("by_level")}</th>
                <th class="number">{t("messages")}</th>
                <th class="number">{t("share_of_conversations")}</th>
                <th class="number">{t("filter_agent")}</th>
                <th>{t("last_said")}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((one) => (
                <tr key={`${one.lang}/${one.id}`}>
                  <th scope="row" title={one.id}>
                    {one.text}
                  </th>
                  <td>{valueName(one.level)}</td>
                  <td class="number">{count(one.messages)}</td>
                  <td class="number">{Number(conversations) > 0 ? percent(Number(one.conversations) / Number(conversations)) : ""}</td>
                  <td class="number">{count(one.agents)}</td>
                  <td>{one.last_at ? day(one.last_at) : t("never")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      <p class="quiet">{t("phrases_about")}</p>
    </Panel>
  );
}

function Wordings(props: { of: PhraseUse; bad: boolean }) {
  const rows = props.of.wordings.filter((one) => BAD.includes(one.class) === props.bad).slice(0, 60);
  return (
    <Panel title={t(props.bad ? "wording_bad" : "wording_used")} id="politeness.v1" csv>
      {rows.length === 0 ? (
        <p class="quiet">{t(props.bad ? "no_bad_wording" : "nothing")}</p>
      ) : (
        <Scroll tall label={t(props.bad ? "wording_bad" : "wording_used")}>
          <table class="list">
            <thead>
              <tr>
                <th>{t("words")}</th>
                <th>{t("class")}</th>
                <th class="number">{t("uses")}</th>
                <th class="number">{t("conversations")}</th>
                <th class="number">{t("filter_agent")}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((one) => (
                <tr key={`${one.class}/${one.words}`}>
                  <th scope="row">{one.words}</th>
                  <td>{valueName(one.class)}</td>
                  <td class="number">{count(one.uses)}</td>
                  <td class="number">{count(one.conversations)}</td>
                  <td class="number">{count(one.agents)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

function Age(props: { of: PhraseUse }) {
  const current = props.of.libraries[0];
  const days = current ? Math.floor((Date.now() - new Date(current.first_at).getTime()) / 86_400_000) : undefined;
  const heat = days === undefined ? "" : days > TOO_OLD ? "missed" : days > OLD ? "unsure" : "met";
  return (
    <article class="tile" title={t("library_about")}>
      <h3>{t("library_age")}</h3>
      <p class={days === undefined ? "figure unmeasured" : "figure"}>{days === undefined ? t("not_measured") : `${count(days)} ${t("days")}`}</p>
      {current && <p class="quiet">{`${t("since")} ${day(current.first_at)}`}</p>}
      <ul class="lines">
        <li class={heat}>
          {t("target")} ≤ {TOO_OLD} {t("days")}
        </li>
        <li class="reference">
          {t("warn_from")} {OLD} {t("days")}
        </li>
      </ul>
      <code class="id">{current ? current.library.slice(0, 12) : "library"}</code>
    </article>
  );
}

export function LibraryPage(props: { metrics: Metric[]; place: Place; may: (right: string) => boolean }) {
  const { place } = props;
  const coverage = props.metrics.find((metric) => metric.id === "phrase.coverage.v1");
  const { from, to, filter } = scopeOf(place, ["agent", "channel", "queue"]);
  const use = useAnswer(`phrases ${place.search}`, (signal) => post<PhraseUse>("/v1/phrases", { from, to, filter }, signal), 60_000);
  if (!coverage) return null;
  return (
    <>
      <div class="tiles">
        <LevelTiles metric={coverage} place={place} />
        {use.data && <Age of={use.data} />}
      </div>
      <Gaps metric={coverage} place={place} reads={props.may("transcripts")} />
      <Shown of={use}>
        {(use) => (
          <>
            <Phrases of={use} place={place} />
            <div class="two">
              <Wordings of={use} bad={false} />
              <Wordings of={use} bad />
            </div>
          </>
        )}
      </Shown>
    </>
  );
}

import { useEffect } from "preact/hooks";
import { type Kind } from "../api";
import { useAnswer } from "../answer";
import { find } from "../find";
import { ask, go, type Place, replace } from "../place";
import { Choice, Link, Panel, Shown, told } from "../parts";
import { t, tell, valueName } from "../words";

const KINDS = ["any", "conversation", "customer", "agent"] as const;

/** What was typed into the field above: its page if there is one, a choice if there are several. */
export function SearchPage(props: { place: Place }) {
  const typed = props.place.fragment;
  const wanted = props.place.search.get("kind");
  const kind = KINDS.find((one) => one === wanted) ?? "any";
  const answer = useAnswer(`find ${kind} ${typed}`, (signal) => find(typed, kind === "any" ? undefined : (kind as Kind), signal));
  const outcome = answer.data;
  const only = outcome?.is === "found" && outcome.found.length === 1 ? outcome.found[0] : undefined;
  // The way back leads to where the field was, and not here again.
  useEffect(() => {
    if (only) replace(only.to);
  }, [only?.to]);
  return (
    <Panel title={t("search_result")} aside={<Choice label={t("search_kind")} of={KINDS} chosen={kind} name={(one) => t(`kind_${one}`)} choose={(one) => ask({ kind: one === "any" ? undefined : one })} />}>
      <Shown of={answer}>
        {(outcome) => (
          <div role="status">
            {outcome.is === "nothing" && (
              <>
                <p>{tell("search_nothing", typed)}</p>
                <p class="quiet">{t("search_about")}</p>
              </>
            )}
            {outcome.is === "unavailable" && (
              <>
                <p class="stale">{t("search_unavailable")}</p>
                <p class="quiet">{told(outcome.problem)}</p>
              </>
            )}
            {outcome.is === "found" && (
              <ul class="plain">
                {outcome.found.map((one) => (
                  <li key={one.to}>
                    {valueName(one.kind)} <Link to={one.to}>{one.pseudonym}</Link>
                  </li>
                ))}
              </ul>
            )}
          </div>
        )}
      </Shown>
    </Panel>
  );
}

/** The field itself; `/` leads to it from anywhere that is no field. */
export function SearchField() {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const at = event.target as HTMLElement;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName)) return;
      event.preventDefault();
      const field = document.getElementById("search") as HTMLInputElement | null;
      field?.focus();
      // What was looked for before is written over.
      field?.select();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const typed = String(new FormData(event.currentTarget).get("q") ?? "").trim();
        // An id may be a phone number: behind `#` no server and no log of one on the way sees it.
        if (typed) go(`/search#${encodeURIComponent(typed)}`);
      }}
    >
      <label class="sr" for="search">
        {t("search_hint")}
      </label>
      <input id="search" name="q" type="search" maxLength={256} autocomplete="off" spellcheck={false} placeholder={t("search_hint")} title={t("search_about")} />
      <button type="submit" class="second">
        {t("search")}
      </button>
    </form>
  );
}

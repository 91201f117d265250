import { useEffect, useRef, useState } from "preact/hooks";
import { get, Problem } from "./api";

export interface Answer<T> {
  data?: T;
  problem?: Problem;
  asking: boolean;
  again: () => void;
}

/**
 * Asks, and asks again when `question` changes and every `everyMs`. What was answered before stays
 * while the same question is asked again.
 */
export function useAnswer<T>(question: string, ask: (signal: AbortSignal) => Promise<T>, everyMs?: number): Answer<T> {
  const [state, set] = useState<{ question: string; data?: T; problem?: Problem; asking: boolean }>({
    question,
    asking: true,
  });
  const [round, setRound] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async () => {
      try {
        const data = await latest.current(abort.signal);
        set({ question, data, asking: false });
      } catch (error) {
        if (abort.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, String(error));
        set((old) => ({ ...(old.question === question ? old : {}), question, problem, asking: false }));
      }
      if (everyMs && !abort.signal.aborted) timer = setTimeout(run, document.hidden ? everyMs * 10 : everyMs);
    };
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [question, round, everyMs]);
  const again = () => setRound((round) => round + 1);
  return state.question === question ? { ...state, again } : { asking: true, again };
}

/** After so long a stream that broke off for good is asked for again. */
const AGAIN_MS = 3_000;

/**
 * What the other side tells as it happens. A page that nobody sees does not listen: a browser has
 * few connections for all its tabs.
 */
export function useStream<T>(path: string, once: string): Answer<T> {
  const [state, set] = useState<{ data?: T; problem?: Problem; asking: boolean }>({ asking: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const close = () => {
      source?.close();
      source = undefined;
      clearTimeout(timer);
    };
    const open = () => {
      close();
      if (document.hidden) return;
      const stream = new EventSource(path);
      source = stream;
      stream.onmessage = (event) => set({ data: JSON.parse(event.data) as T, asking: false });
      stream.onerror = async () => {
        // The browser connects again by itself unless it was refused.
        if (stream.readyState !== EventSource.CLOSED) return;
        try {
          // A stream says nothing about why; a question does.
          const data = await get<T>(once);
          set({ data, asking: false });
        } catch (error) {
          const problem = error instanceof Problem ? error : new Problem(0, String(error));
          set((old) => ({ ...old, problem, asking: false }));
        }
        if (source === stream) timer = setTimeout(open, AGAIN_MS);
      };
    };
    open();
    document.addEventListener("visibilitychange", open);
    return () => {
      document.removeEventListener("visibilitychange", open);
      close();
    };
  }, [path, once, round]);
  return { ...state, again: () => setRound((round) => round + 1) };
}

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "./api";

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

/** Suggestions for misspelled words. */

/** "; did you mean "run"?" for the nearest known word, or "" if none is near. */
export function suggestion(written: string, words: readonly string[]): string {
  const most = written.length > 4 ? 2 : 1;
  let nearest: { word: string; edits: number } | undefined;
  for (const word of words) {
    const edits = distance(word, written);
    if (edits <= most && (nearest === undefined || edits < nearest.edits)) nearest = { word, edits };
  }
  return nearest === undefined ? "" : `; did you mean "${nearest.word}"?`;
}

/** Edit distance: insertions, deletions, substitutions, and swaps of neighbours (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      let least = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before[j - 2]! + 1);
      next.push(least);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

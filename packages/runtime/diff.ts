/** The difference of two lists of lines, by their longest common subsequence. Pure. */

/**
 * Lines of `before` alone with "- ", of `after` alone with "+ ", and "no difference" where there is none. Common lines are
 * left out. Time and memory grow with the product of both lengths: it is for some hundred lines.
 */
export function diffLines(before: readonly string[], after: readonly string[]): string {
  const width = after.length + 1;
  // common[i * width + j]: how many lines the rests from i and from j have in common.
  const common = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i--)
    for (let j = after.length - 1; j >= 0; j--)
      common[i * width + j] =
        before[i] === after[j]
          ? common[(i + 1) * width + j + 1]! + 1
          : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
  const out: string[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      i++;
      j++;
    } else if (
      j >= after.length ||
      (i < before.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!)
    ) {
      out.push(`- ${before[i++]}`);
    } else out.push(`+ ${after[j++]}`);
  }
  return out.length === 0 ? "no difference\n" : `${out.join("\n")}\n`;
}

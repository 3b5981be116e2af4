"""Reads an account with Thunderbird: PROGRAM HOME HOST PORT CERTIFICATE USER MAILBOX COUNT NEEDLE [PICTURE], the password on
standard input. PORT is the one with TLS from the start; CERTIFICATE is the server's, which nobody vouches for.

Thunderbird runs with a profile made here and is driven through Marionette. It logs in, discovers the tree, opens MAILBOX, which
has COUNT messages, in its window, shows one, gives every message's source, and searches on the server. Prints one JSON object: folders,
writable, source (UID to SHA-256), shown (UID, text), subjects, found (by search on the server), filtered (by the quick
filter). With PICTURE, the window is kept as a PNG. Waits are for conditions; the script's caller has the patience.
"""

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import time

from marionette_driver.errors import MarionetteException
from marionette_driver.marionette import Marionette

program, home, host, port, certificate, user, mailbox, count, needle = sys.argv[1:10]
picture = sys.argv[10] if len(sys.argv) > 10 else None
password = sys.stdin.readline().rstrip("\n")
profile = pathlib.Path(home) / "profile"
profile.mkdir(parents=True)

PREFS = {
    "marionette.port": 0,
    "app.update.enabled": False,
    "app.donation.eoy.version.viewed": 999,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultClient": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "extensions.autoDisableScopes": 15,
    "mail.account.account1.identities": "id1",
    "mail.account.account1.server": "server1",
    "mail.accountmanager.accounts": "account1",
    "mail.accountmanager.defaultaccount": "account1",
    "mail.biff.play_sound": False,
    "mail.identity.id1.fullName": user,
    "mail.identity.id1.useremail": f"{user}@example.org",
    "mail.identity.id1.valid": True,
    "mail.identity.id1.doBcc": False,
    "mail.identity.id1.fcc": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.server.server1.authMethod": 3,
    "mail.server.server1.check_new_mail": False,
    "mail.server.server1.hostname": host,
    "mail.server.server1.login_at_startup": False,
    "mail.server.server1.name": "Archive",
    "mail.server.server1.offline_download": False,
    "mail.server.server1.port": int(port),
    "mail.server.server1.socketType": 3,
    "mail.server.server1.type": "imap",
    "mail.server.server1.userName": user,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.ui.folderpane.view": 1,
    "mail.winsearch.firstRunDone": True,
    "mailnews.default_view_flags": 0,
    "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore",
    "mailnews.database.global.indexer.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
if picture:
    PREFS |= {"mail.pane_config.dynamic": 0, "mail.threadpane.listview": 1}
with open(profile / "user.js", "w", encoding="utf-8") as file:
    for name, value in PREFS.items():
        file.write(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n")

arguments = [program, "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", str(profile)]
if not picture:
    arguments.insert(1, "--headless")
log = open(pathlib.Path(home) / "thunderbird.log", "wb")
thunderbird = subprocess.Popen(arguments, stdout=log, stderr=log, env={**__import__("os").environ, "HOME": home})

# What the scripts below share; each is the body of an async function.
COMMON = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const until = async (what, condition) => {
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (thunderbirdIsSlow(what)) throw new Error("still waiting: " + what);
    await new Promise(resolve => window.setTimeout(resolve, 50));
  }
};
const begun = Date.now();
const thunderbirdIsSlow = () => Date.now() - begun > 120000;
const server = () => MailServices.accounts.accounts[0].incomingServer;
const about3Pane = () => document.getElementById("tabmail").currentAbout3Pane;
const all = folder => [folder, ...folder.subFolders.flatMap(all)];
const nameOf = folder => folder.URI.slice(server().rootFolder.URI.length + 1);
const folderOf = name => all(server().rootFolder).find(folder => nameOf(folder) == name);
"""


def run(client, body, *arguments):
    script = f"""
const [...given] = arguments;
const done = given.pop();
(async () => {{ {COMMON} {body} }})().then(value => done({{ value }}), error => done({{ error: String(error) + "\\n" + error.stack }}));
"""
    answer = client.execute_async_script(script, script_args=arguments, sandbox="system", script_timeout=150_000)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer.get("value")


def connect():
    """Marionette says where it listens in a file of the profile."""
    said = profile / "MarionetteActivePort"
    while True:
        if thunderbird.poll() is not None:
            raise RuntimeError(f"Thunderbird ended with {thunderbird.returncode}")
        try:
            client = Marionette(host="127.0.0.1", port=int(said.read_text()), socket_timeout=180)
            client.start_session()
            return client
        except (OSError, ValueError, MarionetteException):
            time.sleep(0.1)


try:
    client = connect()
    client.set_context("chrome")
    run(
        client,
        """
await until("the window", () => document.readyState == "complete" && document.getElementById("tabmail")?.currentAbout3Pane?.folderPane);
await until("the accounts", () => MailServices.accounts.accounts.length);
const login = Components.Constructor("@mozilla.org/login-manager/loginInfo;1", Ci.nsILoginInfo, "init");
const origin = "imap://" + given[0];
await Services.logins.addLoginAsync(new login(origin, null, origin, given[1], given[2], "", ""));
// What a click on "Confirm Security Exception" does.
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
overrides.rememberValidityOverride(given[0], given[3], {}, database.constructX509FromBase64(given[4]), true);
""",
        host,
        user,
        password,
        int(port),
        "".join(line for line in pathlib.Path(certificate).read_text().splitlines() if "-----" not in line),
    )
    result = run(
        client,
        """
// A click on the inbox logs in; the tree comes with it.
about3Pane().displayFolder(server().rootFolder.URI + "/INBOX");
await until("the tree", () => folderOf(given[0]));
const folder = folderOf(given[0]);
const pane = about3Pane();
pane.displayFolder(folder.URI);
await until("the messages", () => pane.gFolder == folder && pane.gDBView?.rowCount && pane.gDBView.rowCount == given[1]);
await until("the rights", () => !folder.canDeleteMessages);
const headers = [...folder.messages];
return {
  folders: all(server().rootFolder).slice(1).map(nameOf),
  writable: { delete: folder.canDeleteMessages, file: folder.canFileMessages },
  subjects: headers.map(header => [header.messageKey, header.mime2DecodedSubject]),
};
""",
        mailbox,
        int(count),
    )
    result["source"] = {}
    for uid, _ in result["subjects"]:
        text = run(
            client,
            """
const folder = folderOf(given[0]);
const uri = folder.getUriForMsg(folder.GetMessageHeader(given[1]));
const listener = {
  chunks: [], QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]), onStartRequest() {},
  onDataAvailable(request, stream, offset, count) {
    const binary = Cc["@mozilla.org/binaryinputstream;1"].createInstance(Ci.nsIBinaryInputStream);
    binary.setInputStream(stream);
    this.chunks.push(binary.readBytes(count));
  },
};
await new Promise((resolve, reject) => {
  listener.onStopRequest = (request, status) => Components.isSuccessCode(status) ? resolve() : reject(new Error("status " + status));
  MailServices.messageServiceFromURI(uri).streamMessage(uri, listener, null, null, false, "", false);
});
return btoa(listener.chunks.join(""));
""",
            mailbox,
            uid,
        )
        result["source"][uid] = hashlib.sha256(base64.b64decode(text)).hexdigest()
    result["shown"] = run(
        client,
        """
const pane = about3Pane();
pane.threadTree.selectedIndex = 0;
const header = pane.gDBView.getMsgHdrAt(0);
const content = await until("the message", () => {
  const shown = pane.messageBrowser.contentWindow;
  const browser = shown?.getMessagePaneBrowser?.();
  const loaded = shown?.gMessage && shown.gMessage.messageKey == header.messageKey && shown.msgLoaded;
  return loaded && browser?.contentDocument?.body?.textContent?.trim() && browser.contentDocument;
});
return [header.messageKey, content.body.textContent];
""",
    )
    result["found"] = run(
        client,
        """
const folder = folderOf(given[0]);
const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folder);
const term = session.createTerm();
term.attrib = Ci.nsMsgSearchAttrib.Body;
term.op = Ci.nsMsgSearchOp.Contains;
const value = term.value;
value.attrib = term.attrib;
value.str = given[1];
term.value = value;
term.booleanAnd = true;
session.appendTerm(term);
const hits = [];
await new Promise((resolve, reject) => {
  session.registerListener({
    onSearchHit(header) { hits.push(header.messageKey); },
    onSearchDone(status) { Components.isSuccessCode(status) ? resolve() : reject(new Error("status " + status)); },
    onNewSearch() {},
  });
  session.search(null);
});
return hits;
""",
        mailbox,
        needle,
    )
    result["filtered"] = run(
        client,
        """
const pane = about3Pane();
pane.quickFilterBar._showFilterBar(true);
const filtered = () => Array.from({ length: pane.gDBView.rowCount }, (_, row) => pane.gDBView.getMsgHdrAt(row).messageKey);
pane.quickFilterBar.filterer.setFilterValue("text", { text: given[0], states: { sender: false, recipients: false, subject: true, body: false } });
pane.quickFilterBar.updateSearch();
const wanted = [...folderOf(given[1]).messages].filter(header => header.mime2DecodedSubject.toLowerCase().includes(given[0])).length;
await until("the quick filter", () => pane.gDBView.rowCount == wanted);
const found = filtered();
pane.quickFilterBar._resetFilterState();
pane.quickFilterBar.updateSearch();
return found;
""",
        needle,
        mailbox,
    )
    result["version"] = client.session_capabilities["browserVersion"]
    if picture:
        run(
            client,
            """
window.resizeTo(1180, 760);
const pane = about3Pane();
pane.quickFilterBar._showFilterBar(false);
for (const row of pane.folderTree.querySelectorAll("li.collapsed")) pane.folderTree.expandRow(row);
const row = await until("the row", () => Array.from({ length: pane.gDBView.rowCount }, (_, n) => n).find(n => pane.gDBView.getMsgHdrAt(n).messageKey == given[0]) ?? -1);
pane.threadTree.scrollToIndex(row, true);
pane.threadTree.selectedIndex = row;
await until("the message", () => pane.messageBrowser.contentWindow?.gMessage?.messageKey == given[0] && pane.messageBrowser.contentWindow.msgLoaded);
await new Promise(resolve => window.requestAnimationFrame(() => window.requestAnimationFrame(resolve)));
""",
            result["found"][0],
        )
        with open(picture, "wb") as file:
            file.write(base64.b64decode(client.screenshot(full=False, format="base64")))
    print(json.dumps(result))
    client.execute_script("Services.startup.quit(Ci.nsIAppStartup.eForceQuit);", sandbox="system")
    thunderbird.wait()
finally:
    if thunderbird.poll() is None:
        thunderbird.kill()
        thunderbird.wait()
    log.close()

"""The words by which a tool is judged, with what each tells; data, and no judgement of its own.

Chosen from how tools are commonly named and described, and tuned on the development part of tests/catalog only.
"""

from __future__ import annotations

from collections.abc import Mapping

from authz.policy.catalog.entry import Category

READ, WRITE, EXECUTE = Category.READ, Category.WRITE, Category.EXECUTE
DESTRUCTIVE, FINANCIAL = Category.DESTRUCTIVE, Category.FINANCIAL


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(words: Mapping[Category, str]) -> Mapping[str, Category]:
    return {word: category for category, several in words.items() for word in several.split()}


# The verb that a name or description begins with says what the tool is for. Verbs in their plain form.
VERBS: Mapping[str, Category] = _table(
    {
        READ: """
            aggregate analyse analyze audit browse calculate capture check compare compute convert count
            debug decode describe detect diagnose diff discover display download echo estimate evaluation
            exist exists explain extract fetch find get give head help identify inspect iterate know lint
            list locate log logs look lookup map match measure obtain parse peek ping poll predict preview
            print provide query read recommend report resolve retrieve return review scan scrape screenshot
            search select show simulate snapshot stat stats status suggest summarise summarize test think
            trace track translate validate verify view wait watch hget hgetall hexists lrange llen smembers
            zrange xrange dbsize info tree schema history profile shows
            """,
        WRITE: """
            accept add allocate annotate apply approve archive arrappend assign associate attach author
            bookmark branch change checkout clone comment commit configure connect copy create cut decline
            define deny disable disconnect edit embed emulate enable enrich enqueue expire export fork
            format generate grant group hset hide import increment index init initialize insert invite join
            label link lock log_in lpush make mark merge migrate modify mount move mute open order organize
            package patch pin populate post promote publish push put react record rename reopen reorder
            replace reply request resize respond restore resume rpush sadd save schedule send set share sign
            stage star store submit subscribe switch sync tag toggle transform transition turn uncordon undo
            unlink unmute unpin unstage unsubscribe update upload upsert vote append write xack xadd xgroup
            zadd
            """,
        EXECUTE: """
            activate agent automate boot bounce browser_run build call click code compile control crawl
            dblclick debugger deploy dial dispatch drag drive drop_on eval evaluate exec execute fill
            forward goto hover initiate input install interact invoke key launch login navigate operate
            perform play press process proxy queue rebuild reconnect redeploy redrive reload rerun respawn
            restart retry rollout run runner schedule_run scroll shell spawn ssh start swipe tap trigger
            tunnel upgrade visit
            """,
        DESTRUCTIVE: """
            abort arrpop arrtrim ban block cancel clean cleanup clear close_all cordon deactivate
            decommission deduct del delete deprovision deregister destroy detach discard dismiss drain drop
            empty end erase evict expunge flush force forget hdel kick kill lpop lrem nuke overwrite pop
            prune purge quit rem remove reset revoke rollback rpop shred shutdown srem stop suspend
            terminate trash trim truncate unassign uninstall unpublish unregister untag wipe xdel
            xgroup_destroy zrem
            """,
        FINANCIAL: """
            bid buy charge debit deposit donate exercise liquidate mint pay payout purchase refund rebalance
            reimburse remit sell settle spend stake swap tip trade withdraw
            """,
    }
)

# One verb, every effect: what `action: delete` does is a value away. The arguments say more where they list actions.
WHOLESALE = _words("admin administer control handle manage management manager operation operations")

# `create_or_update`, `search_and_replace`: the verb behind it counts as well.
JOINTS = frozenset(("and", "or", "then"))

# Money is meant wherever one of these is what a changing verb acts on.
MONEY = _words(
    """
    coupon dispute donation fund funds invoice invoices loan mandate payment payments payout payouts payroll
    price prices pricing refund refunds salary wallet
    """
)
# ... and of these only where something else speaks of money: subscriptions are also to news, orders also of lists.
MAYBE_MONEY = _words(
    """
    account balance bid card charge contract credit holding locate option options order orders position
    positions quote share shares stock subscription subscriptions token trade trades transaction transactions
    transfer
    """
)
MONEY_ARGUMENTS = _words(
    """
    amount amount_off currency limit_price notional price proration_behavior qty quantity side stop_price
    unit_amount unit_price
    """
)
MONEY_SERVERS = _words(
    """
    adyen alpaca bank banking binance bitcoin braintree broker brokerage checkout coinbase crypto ethereum
    exchange finance ibkr kraken mollie payment payments paypal paystack plaid quickbooks razorpay robinhood
    solana square stripe trading venmo wallet webull wise xero
    """
)
MONEY_PHRASES = (
    "buy order",
    "charge the customer",
    "invoice",
    "in the market",
    "payment",
    "place an order",
    "payout",
    "refund",
    "sell order",
    "short sale",
    "the market is closed",
    "trading",
)

# Arguments whose text is itself run. `query` is one only where the description says of what language.
CODE = _words(
    """
    bash cmd code command commands cypher expression_js function input_code javascript js kql program python
    query_dsl script shell shell_command snippet source_code sparql sql sql_query statement statements stdin
    """
)
QUERY = frozenset(("query", "queries", "q"))
LANGUAGES = ("sql", "cypher", "sparql", "graphql", "dml", "statement")
# Not code, though the word is the same: a postal or country code, a code to look up, the status code.
NO_CODE = ("country code", "postal code", "zip code", "language code", "currency code", "error code", "status code")

# Arguments by which one tool does several things.
SWITCHES = frozenset(("action", "command", "method", "mode", "op", "operation", "subcommand", "sub_command", "verb"))
# HTTP in an argument: whatever the API can do.
HTTP_METHODS = frozenset(("http_method", "method", "verb"))

OUTPUT_ARGUMENTS = _words(
    """
    destination destination_path download_path export_path file_path_out out_dir out_file out_path output_dir
    output_directory output_file output_path output_uri save_path save_to
    """
)
URL_ARGUMENTS = _words("callback endpoint href redirect_url uri url urls webhook webhook_url website")
PATH_ARGUMENTS = _words("dir directory file file_path filename filepath folder path paths")
RIGHTS = _words(
    """
    acl credential credential_arn credentials grant iam permission permissions policy_document role role_arn
    data_access_role_arn
    """
)
SWEEPING = _words(
    """
    all all_namespaces cascade delete_local_data drop_target force force_delete hard_delete no_preserve
    overwrite permanent permanently purge recursive
    """
)
SECRETS = _words(
    """
    credential credentials env environment key_material password passwords secret secrets token tokens vault
    """
)
PERSONAL = r"(?<!be )\b(patients?|medical|health records?|fhir|salary|salaries|social security|passports?)\b"

# What a description says outright. The pattern is matched in its first sentences, in lower case, unless negated.
PHRASES: tuple[tuple[str, Category, str], ...] = (
    (r"\b(cannot|can't|can not) be undone\b", DESTRUCTIVE, "its description says that it cannot be undone"),
    (r"\birreversibl", DESTRUCTIVE, "its description says that it is irreversible"),
    (r"\bpermanently\b", DESTRUCTIVE, "its description says that what it does is permanent"),
    (r"\b(executes?|runs?|performs?|is|are|makes?) (an? )?(potentially |highly )?destructive\b", DESTRUCTIVE,
     "its description calls it destructive"),
    (r"\b(completely )?overwrit(e|es|ten)\b", DESTRUCTIVE, "its description says that it overwrites"),
    (r"\barbitrary (code|commands?|javascript|python|sql|scripts?)\b", EXECUTE, "it runs whatever it is given"),
    (r"\bremote code execution\b|\brce\b", EXECUTE, "its description speaks of remote code execution"),
    (
        (r"\b(execut|run|evaluat)(e|es|s|ing)? (an? |any |the )?(\w+ ){0,2}"
         r"(commands?|code|scripts?|javascript|sql|statements?|snippets?|shell)\b"),
        EXECUTE,
        "its description says that it runs a command or code",
    ),
    ((r"\b(starts?|trigger(s|ed)?|launch(es)?|kicks? off) (an? |the )?(\w+ ){0,3}"
      r"(job|pipeline|workflow|build|run|process)\b"), EXECUTE,
     "its description says that it starts something that goes on after the call"),
    (r"\b(get|post|put|patch|delete)\b[^.]{0,40}\bhttp methods?\b|\ball http methods\b", EXECUTE,
     "it makes whatever request it is given"),
    (r"\b(sends?|posts?) (an? |the )?(\w+ )?(message|email|notification|sms)\b", WRITE,
     "its description says that it sends something to people"),
)  # fmt: skip

# What a server is about, from its own name and title.
BROWSERS = _words("browser browsers chrome chromium devtools playwright puppeteer selenium webdriver")
# In a browser these act on a page of which nothing is known: a click can buy, send or delete.
PAGE_VERBS = _words("click drag drop file fill handle hover navigate new press select tabs tap type upload")

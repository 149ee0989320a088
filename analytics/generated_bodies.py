"""Made-up webhook bodies: the shape and bulk of real ones, nobody's data.

A template is JSON with marks where rows differ; `body_expression` turns it into one SQL
concatenation, so that DuckDB writes ten million of them without a line of Python for each.
"""

import json
import re
from typing import Any

API = "https://api.code.example"
NONE = None
MARK = re.compile(r"<<(\w+)>>")

# What a mark stands for, in SQL over the columns of a made event (see generated_facts.py).
MARKS = {
    "id": "id",
    "number": "number",
    "minor": "(h1 % 9000000 + 1000000)",
    "other": "(h2 % 90000000 + 10000000)",
    "hex": "hex40",
    "hex2": "md5(hex40)",
    "uuid": "uuid",
    "login": "login",
    "login2": "login2",
    "user_id": "(hash(login) % 90000000)",
    "user2_id": "(hash(login2) % 90000000)",
    "title": "title",
    "text": "text_json",
    "notes": "notes",
    "at": "at_iso",
    "earlier": "earlier_iso",
    "epoch": "(ms // 1000)",
    "repo": "repo",
    "repo_id": "(hash(repo) % 900000000)",
    "service": "service",
    "host": "host",
    "level": "level",
    "value": "printf('%.4f', u5 * 100)",
    "cents": "(h3 % 90000 + 500)",
    "exception": "exception",
    "function": "function_name",
    "line": "(hash(exception) % 900 + 10)",
    "line2": "(hash(exception, 2) % 900 + 10)",
    "token": "token",
    "email": "email",
    "address": "printf('198.51.%d.%d', h1 % 256, h2 % 256)",
    "status": "status",
}


def _account(login: str, number: str, api: str) -> dict[str, Any]:
    base = f"{api}/users/{login}"
    links = ("followers", "following", "gists", "starred", "subscriptions", "organizations")
    more = ("repos", "events", "received_events")
    return {
        "login": login,
        "id": number,
        "node_id": f"U_{number}",
        "avatar_url": f"https://avatars.code.example/u/{number}?v=4",
        "gravatar_id": "",
        "url": base,
        "html_url": f"https://code.example/{login}",
        **{f"{name}_url": f"{base}/{name}" for name in (*links, *more)},
        "type": "User",
        "user_view_type": "public",
        "site_admin": False,
    }


def _repository(api: str) -> dict[str, Any]:
    base = f"{api}/repos/<<repo>>"
    names = [
        "forks",
        "keys",
        "collaborators",
        "teams",
        "hooks",
        "issue_events",
        "assignees",
        "branches",
        "tags",
        "blobs",
        "git_tags",
        "git_refs",
        "trees",
        "statuses",
        "languages",
        "stargazers",
        "contributors",
        "subscribers",
        "subscription",
        "commits",
        "git_commits",
        "comments",
        "issue_comment",
        "contents",
        "compare",
        "merges",
        "archive",
        "downloads",
        "issues",
        "pulls",
        "milestones",
        "notifications",
        "labels",
        "releases",
        "deployments",
    ]
    return {
        "id": "<<repo_id>>",
        "node_id": "R_<<repo_id>>",
        "name": "<<service>>",
        "full_name": "<<repo>>",
        "private": True,
        "owner": _account("acme", "1200345", api),
        "html_url": "https://code.example/<<repo>>",
        "description": "The <<service>> service",
        "fork": False,
        "url": base,
        **{f"{name}_url": f"{base}/{name}{{/{name[:-1]}}}" for name in names},
        "created_at": "2021-03-04T09:12:33Z",
        "updated_at": "<<earlier>>",
        "pushed_at": "<<earlier>>",
        "size": "<<minor>>",
        "stargazers_count": 12,
        "language": "Python",
        "has_issues": True,
        "has_wiki": False,
        "forks_count": 3,
        "open_issues_count": 87,
        "default_branch": "main",
        "topics": ["backend", "payments", "internal"],
        "homepage": "https://<<service>>.acme.example",
        "mirror_url": NONE,
        "archived": False,
        "disabled": False,
        "license": {
            "key": "mit",
            "name": "MIT License",
            "spdx_id": "MIT",
            "url": f"{api}/licenses/mit",
            "node_id": "MDc6TGljZW5zZTEz",
        },
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "visibility": "private",
        "forks": 3,
        "open_issues": 87,
        "watchers": 12,
        "custom_properties": {"team": "<<service>>", "tier": "one", "language": "python"},
    }


GITHUB = {
    "action": "opened",
    "issue": {
        "url": f"{API}/repos/<<repo>>/issues/<<number>>",
        "repository_url": f"{API}/repos/<<repo>>",
        "labels_url": f"{API}/repos/<<repo>>/issues/<<number>>/labels{{/name}}",
        "comments_url": f"{API}/repos/<<repo>>/issues/<<number>>/comments",
        "events_url": f"{API}/repos/<<repo>>/issues/<<number>>/events",
        "html_url": "https://code.example/<<repo>>/issues/<<number>>",
        "id": "<<other>>",
        "node_id": "I_kw<<other>>",
        "number": "<<number>>",
        "title": "<<title>>",
        "user": _account("<<login>>", "<<user_id>>", API),
        "labels": [
            {
                "id": "<<minor>>",
                "node_id": "LA_<<minor>>",
                "url": f"{API}/repos/<<repo>>/labels/<<level>>",
                "name": "<<level>>",
                "color": "d73a4a",
                "default": False,
                "description": NONE,
            }
        ],
        "state": "open",
        "locked": False,
        "assignee": _account("<<login2>>", "<<user2_id>>", API),
        "assignees": [_account("<<login2>>", "<<user2_id>>", API)],
        "milestone": NONE,
        "comments": 0,
        "created_at": "<<at>>",
        "updated_at": "<<at>>",
        "closed_at": NONE,
        "author_association": "CONTRIBUTOR",
        "body": "<<text>>\n\n<<notes>>",
        "reactions": {
            "url": f"{API}/repos/<<repo>>/issues/<<number>>/reactions",
            "total_count": 0,
            "+1": 0,
            "-1": 0,
            "laugh": 0,
            "hooray": 0,
            "confused": 0,
            "heart": 0,
            "rocket": 0,
            "eyes": 0,
        },
        "timeline_url": f"{API}/repos/<<repo>>/issues/<<number>>/timeline",
        "performed_via_github_app": NONE,
        "state_reason": NONE,
        "sub_issues_summary": {"total": 0, "completed": 0, "percent_completed": 0},
        "issue_dependencies_summary": {
            "blocked_by": 0,
            "total_blocked_by": 0,
            "blocking": 0,
            "total_blocking": 0,
        },
        "active_lock_reason": NONE,
        "draft": False,
        "pull_request": {
            "url": f"{API}/repos/<<repo>>/pulls/<<number>>",
            "html_url": "https://code.example/<<repo>>/pull/<<number>>",
            "diff_url": "https://code.example/<<repo>>/pull/<<number>>.diff",
            "patch_url": "https://code.example/<<repo>>/pull/<<number>>.patch",
            "merged_at": NONE,
        },
    },
    "repository": _repository(API),
    "organization": {
        "login": "acme",
        "id": 1200345,
        "url": f"{API}/orgs/acme",
        "repos_url": f"{API}/orgs/acme/repos",
        "events_url": f"{API}/orgs/acme/events",
        "hooks_url": f"{API}/orgs/acme/hooks",
        "members_url": f"{API}/orgs/acme/members{{/member}}",
        "description": "",
    },
    "sender": _account("<<login>>", "<<user_id>>", API),
}

JIRA_SITE = "https://acme.tracker.example/rest/api/2"


def _jira_user(login: str, number: str) -> dict[str, Any]:
    return {
        "self": f"{JIRA_SITE}/user?accountId={number}",
        "accountId": number,
        "avatarUrls": {
            f"{size}x{size}": f"https://avatar.example/initials/{login}-{size}.png"
            for size in (48, 24, 16, 32)
        },
        "displayName": login,
        "active": True,
        "timeZone": "Europe/Berlin",
        "accountType": "atlassian",
    }


JIRA = {
    "timestamp": "<<epoch>>",
    "webhookEvent": "jira:issue_created",
    "issue_event_type_name": "issue_created",
    "user": _jira_user("<<login>>", "<<user_id>>"),
    "issue": {
        "id": "<<other>>",
        "self": f"{JIRA_SITE}/<<other>>",
        "key": "OPS-<<number>>",
        "fields": {
            **{f"customfield_{n}": NONE for n in range(10000, 10072)},
            "statuscategorychangedate": "<<at>>",
            "issuetype": {
                "self": f"{JIRA_SITE}/issuetype/10004",
                "id": "10004",
                "description": "A problem that keeps somebody from working.",
                "iconUrl": f"{JIRA_SITE}/universal_avatar/view/type/issuetype/avatar/10303",
                "name": "Bug",
                "subtask": False,
            },
            "timespent": NONE,
            "project": {
                "self": f"{JIRA_SITE}/project/10000",
                "id": "10000",
                "key": "OPS",
                "name": "Operations",
                "projectTypeKey": "software",
                "avatarUrls": {
                    f"{size}x{size}": f"{JIRA_SITE}/universal_avatar/view/type/project/{size}"
                    for size in (48, 24, 16, 32)
                },
            },
            "priority": {
                "self": f"{JIRA_SITE}/priority/3",
                "iconUrl": "https://acme.tracker.example/images/icons/priorities/medium.svg",
                "name": "<<level>>",
                "id": "3",
            },
            "labels": ["<<service>>"],
            "created": "<<at>>",
            "updated": "<<at>>",
            "status": {
                "self": f"{JIRA_SITE}/status/10000",
                "description": "",
                "name": "To Do",
                "id": "10000",
                "statusCategory": {"id": 2, "key": "new", "colorName": "blue-gray"},
            },
            "summary": "<<title>>",
            "description": "<<text>>\n\n<<notes>>",
            "creator": _jira_user("<<login>>", "<<user_id>>"),
            "reporter": _jira_user("<<login2>>", "<<user2_id>>"),
            "aggregateprogress": {"progress": 0, "total": 0},
            "votes": {"self": f"{JIRA_SITE}/issue/OPS-<<number>>/votes", "votes": 0},
            "watches": {"self": f"{JIRA_SITE}/issue/OPS-<<number>>/watchers", "watchCount": 1},
        },
    },
    "comment": {
        "self": f"{JIRA_SITE}/issue/<<other>>/comment/<<minor>>",
        "author": _jira_user("<<login2>>", "<<user2_id>>"),
        "updateAuthor": _jira_user("<<login2>>", "<<user2_id>>"),
        "body": "<<text>>",
        "created": "<<at>>",
        "updated": "<<at>>",
        "jsdPublic": True,
    },
    "changelog": {
        "id": "<<minor>>",
        "items": [
            {
                "field": "priority",
                "fieldtype": "jira",
                "from": "3",
                "fromString": "Medium",
                "to": "2",
                "toString": "<<level>>",
            }
        ],
    },
}

ZENDESK = {
    "account_id": 22110044,
    "id": "<<uuid>>",
    "type": "zen:event-type:ticket.created",
    "zen_event_version": "2022-11-06",
    "subject": "zen:ticket:<<number>>",
    "time": "<<at>>",
    "event": {},
    "detail": {
        "id": "<<number>>",
        "actor_id": "<<user_id>>",
        "assignee_id": "<<user2_id>>",
        "brand_id": "8002215",
        "created_at": "<<at>>",
        "custom_status": "new",
        "description": "<<text>>\n\n<<notes>>",
        "external_id": NONE,
        "form_id": "8646151517",
        "group_id": "8646133",
        "is_public": True,
        "organization_id": "<<minor>>",
        "priority": "<<level>>",
        "requester_id": "<<user_id>>",
        "status": "NEW",
        "subject": "<<title>>",
        "submitter_id": "<<user_id>>",
        "tags": ["web", "<<service>>"],
        "type": "INCIDENT",
        "updated_at": "<<at>>",
        "via": {"channel": "web_service", "from": "<<email>>"},
    },
}

INTERCOM = {
    "type": "notification_event",
    "app_id": "acme42",
    "data": {
        "type": "notification_event_data",
        "item": {
            "type": "conversation",
            "id": "<<id>>",
            "created_at": "<<epoch>>",
            "updated_at": "<<epoch>>",
            "waiting_since": "<<epoch>>",
            "snoozed_until": NONE,
            "source": {
                "type": "conversation",
                "id": "<<other>>",
                "delivered_as": "customer_initiated",
                "subject": "<<title>>",
                "body": "<p><<text>></p><p><<notes>></p>",
                "author": {
                    "type": "user",
                    "id": "<<hex2>>",
                    "name": "<<login>>",
                    "email": "<<email>>",
                },
                "attachments": [],
                "url": "https://app.acme.example/<<service>>/<<minor>>",
                "redacted": False,
            },
            "contacts": {
                "type": "contact.list",
                "contacts": [{"type": "contact", "id": "<<hex2>>", "external_id": "<<user_id>>"}],
            },
            "first_contact_reply": {"created_at": "<<epoch>>", "type": "conversation"},
            "admin_assignee_id": NONE,
            "team_assignee_id": 5560021,
            "open": True,
            "state": "open",
            "read": False,
            "tags": {"type": "tag.list", "tags": []},
            "priority": "<<level>>",
            "sla_applied": NONE,
            "statistics": NONE,
            "conversation_rating": NONE,
            "teammates": {"type": "admin.list", "admins": []},
            "custom_attributes": {"plan": "team", "region": "eu"},
        },
    },
    "links": {},
    "id": "notif_<<uuid>>",
    "topic": "conversation.user.created",
    "delivery_status": "pending",
    "delivery_attempts": 1,
    "delivered_at": 0,
    "first_sent_at": "<<epoch>>",
    "created_at": "<<epoch>>",
    "self": NONE,
}

LINEAR = {
    "action": "create",
    "type": "Issue",
    "createdAt": "<<at>>",
    "organizationId": "4f2d6a55-91f0-4f9b-8f7c-30f1f3a2f7d1",
    "webhookTimestamp": "<<epoch>>",
    "webhookId": "0b6f0f52-5b1e-4cb1-bd0c-6b2b8c0c7a13",
    "url": "https://tracker.example/acme/issue/SUP-<<number>>",
    "actor": {"id": "<<uuid>>", "name": "<<login>>", "type": "user"},
    "data": {
        "id": "<<uuid>>",
        "createdAt": "<<at>>",
        "updatedAt": "<<at>>",
        "number": "<<number>>",
        "title": "<<title>>",
        "priority": 2,
        "priorityLabel": "<<level>>",
        "sortOrder": "<<value>>",
        "teamId": "8c1b6d3b-2f0e-4a64-9c9a-6a0b6d1f8e27",
        "stateId": "f2c8a9c4-7f1d-4d8a-9b53-0f6ed0d3a5b8",
        "description": "<<text>>\n\n<<notes>>",
        "labelIds": ["5a0a1f9e-4c52-46e9-8f0e-0d4a1bb2c3d4"],
        "state": {"name": "Triage", "type": "triage", "color": "#f2994a"},
        "team": {"key": "SUP", "name": "Support"},
    },
}

FRAME = {
    "filename": "app/<<service>>/<<function>>.py",
    "absPath": "/srv/app/<<service>>/<<function>>.py",
    "module": "app.<<service>>.<<function>>",
    "function": "<<function>>",
    "inApp": True,
}
LIBRARY = ("starlette/routing.py", "starlette/middleware/errors.py", "asyncio/runners.py")

SENTRY = {
    "action": "triggered",
    "installation": {"uuid": "3f0a8f6e-4a0e-4c2f-9d2e-8c6b5a4d3e21"},
    "data": {
        "event": {
            "event_id": "<<hex2>>",
            "project": 4503921,
            "release": "<<service>>@2026.7.3",
            "dist": NONE,
            "platform": "python",
            "message": "",
            "datetime": "<<at>>",
            "tags": [
                ["browser", "Firefox 140"],
                ["environment", "production"],
                ["level", "<<level>>"],
                ["server_name", "<<host>>"],
                ["transaction", "/api/<<service>>/<<function>>"],
                ["url", "https://app.acme.example/<<service>>/<<other>>"],
            ],
            "contexts": {
                "runtime": {"name": "CPython", "version": "3.11.9", "type": "runtime"},
                "os": {"name": "Linux", "version": "6.8.0", "type": "os"},
                "trace": {"trace_id": "<<hex>>", "span_id": "<<token>>", "op": "http.server"},
            },
            "exception": {
                "values": [
                    {
                        "type": "<<exception>>",
                        "value": "<<title>>: <<notes>>",
                        "stacktrace": {
                            "frames": [
                                *(
                                    {
                                        "filename": name,
                                        "absPath": f"/usr/lib/python3.11/site-packages/{name}",
                                        "module": name.replace("/", ".").removesuffix(".py"),
                                        "function": "__call__",
                                        "lineNo": 70 + 31 * place,
                                        "context": "            await self.app(scope, receive)",
                                        "inApp": False,
                                    }
                                    for place, name in enumerate(LIBRARY)
                                ),
                                {**FRAME, "lineNo": "<<line>>", "vars": {"order": "<<other>>"}},
                                {**FRAME, "lineNo": "<<line2>>", "vars": {"token": "<<token>>"}},
                            ]
                        },
                        "mechanism": {"type": "asgi", "handled": False},
                    }
                ]
            },
            "request": {
                "url": "https://app.acme.example/<<service>>/<<other>>",
                "method": "POST",
                "headers": [
                    ["Accept", "application/json"],
                    ["User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101"],
                    ["X-Request-Id", "<<uuid>>"],
                ],
                "env": {"REMOTE_ADDR": "<<address>>"},
            },
            "user": {"id": "<<user_id>>", "ip_address": "<<address>>"},
            "sdk": {"name": "sentry.python.starlette", "version": "2.40.0"},
            "timestamp": "<<epoch>>",
            "title": "<<exception>>: <<title>>",
            "type": "error",
            "issue_id": "<<minor>>",
            "issue_url": "https://errors.example/api/0/issues/<<minor>>/",
            "url": "https://errors.example/api/0/projects/acme/<<service>>/events/<<hex2>>/",
            "web_url": "https://errors.example/organizations/acme/issues/<<minor>>/",
        },
        "triggered_rule": "errors in production",
    },
    "actor": {"type": "application", "id": "sentry", "name": "Sentry"},
}

ALERTMANAGER = {
    "status": "<<status>>",
    "labels": {
        "alertname": "<<exception>>",
        "cluster": "eu-1",
        "container": "<<service>>",
        "instance": "<<host>>:9100",
        "job": "node",
        "namespace": "production",
        "pod": "<<service>>-<<token>>",
        "severity": "<<level>>",
    },
    "annotations": {
        "description": "<<title>> on <<host>>, now <<value>>. <<notes>>",
        "runbook_url": "https://runbooks.acme.example/<<service>>/<<exception>>",
        "summary": "<<title>>",
    },
    "startsAt": "<<earlier>>",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "https://prometheus.acme.example/graph?g0.expr=<<function>>+%3E+<<value>>",
    "fingerprint": "<<token>>",
}

GRAFANA = {
    "status": "<<status>>",
    "labels": {
        "alertname": "<<exception>>",
        "grafana_folder": "<<service>>",
        "severity": "<<level>>",
        "host": "<<host>>",
    },
    "annotations": {"summary": "<<title>>", "description": "<<notes>>"},
    "startsAt": "<<earlier>>",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "https://grafana.acme.example/alerting/grafana/<<token>>/view?orgId=1",
    "fingerprint": "<<token>>",
    "silenceURL": "https://grafana.acme.example/alerting/silence/new?alertmanager=grafana",
    "dashboardURL": "",
    "panelURL": "",
    "values": {"A": "<<value>>", "C": 1},
    "valueString": "[ var='A' labels={host=<<host>>} value=<<value>> ]",
}

PAGERDUTY = {
    "event": {
        "id": "01<<token>>",
        "event_type": "incident.triggered",
        "resource_type": "incident",
        "occurred_at": "<<at>>",
        "agent": {
            "html_url": "https://acme.pager.example/users/P<<minor>>",
            "id": "P<<minor>>",
            "self": "https://api.pager.example/users/P<<minor>>",
            "summary": "<<login>>",
            "type": "user_reference",
        },
        "client": {"name": "<<service>> monitor"},
        "data": {
            "id": "Q<<token>>",
            "type": "incident",
            "self": "https://api.pager.example/incidents/Q<<token>>",
            "html_url": "https://acme.pager.example/incidents/Q<<token>>",
            "number": "<<number>>",
            "status": "triggered",
            "incident_key": "<<hex>>",
            "created_at": "<<at>>",
            "title": "<<exception>>: <<title>>. <<notes>>",
            "service": {
                "html_url": "https://acme.pager.example/services/<<service>>",
                "id": "PS<<service>>",
                "self": "https://api.pager.example/services/<<service>>",
                "summary": "<<service>>",
                "type": "service_reference",
            },
            "assignees": [
                {
                    "html_url": "https://acme.pager.example/users/<<login2>>",
                    "id": "P<<user2_id>>",
                    "summary": "<<login2>>",
                    "type": "user_reference",
                }
            ],
            "urgency": "high",
            "priority": {"summary": "<<level>>", "type": "priority_reference"},
        },
    }
}

STRIPE = {
    "id": "evt_1<<token>>",
    "object": "event",
    "api_version": "2025-09-30",
    "created": "<<epoch>>",
    "data": {
        "object": {
            "id": "in_1<<token>>",
            "object": "invoice",
            "account_country": "DE",
            "account_name": "Acme",
            "amount_due": "<<cents>>",
            "amount_paid": 0,
            "amount_remaining": "<<cents>>",
            "attempt_count": 1,
            "attempted": True,
            "auto_advance": True,
            "billing_reason": "subscription_cycle",
            "collection_method": "charge_automatically",
            "created": "<<epoch>>",
            "currency": "eur",
            "customer": "cus_<<hex2>>",
            "customer_email": "<<email>>",
            "customer_name": "<<login>>",
            "default_payment_method": NONE,
            "description": "<<notes>>",
            "discounts": [],
            "due_date": NONE,
            "footer": NONE,
            "hosted_invoice_url": "https://invoice.pay.example/i/acct_1/live_<<hex>>",
            "invoice_pdf": "https://pay.example/invoice/acct_1/live_<<hex>>/pdf",
            "lines": {
                "object": "list",
                "data": [
                    {
                        "id": "il_1<<token>>",
                        "object": "line_item",
                        "amount": "<<cents>>",
                        "currency": "eur",
                        "description": "1 x Team plan",
                        "livemode": True,
                        "period": {"end": "<<epoch>>", "start": "<<epoch>>"},
                        "quantity": 1,
                    }
                ],
                "has_more": False,
                "total_count": 1,
            },
            "livemode": True,
            "next_payment_attempt": "<<epoch>>",
            "number": "ACME-<<minor>>",
            "paid": False,
            "receipt_number": NONE,
            "starting_balance": 0,
            "status": "open",
            "subtotal": "<<cents>>",
            "total": "<<cents>>",
        }
    },
    "livemode": True,
    "pending_webhooks": 1,
    "request": {"id": NONE, "idempotency_key": "<<uuid>>"},
    "type": "invoice.payment_failed",
}

STANDARD = {
    "type": "order.delayed",
    "timestamp": "<<at>>",
    "data": {
        "order": "<<uuid>>",
        "customer": "<<email>>",
        "warehouse": "<<host>>",
        "message": "<<text>>",
        "comment": "<<notes>>",
    },
}

TEMPLATES: dict[str, dict[str, Any]] = {
    "github": GITHUB,
    "jira": JIRA,
    "zendesk": ZENDESK,
    "intercom": INTERCOM,
    "linear": LINEAR,
    "sentry": SENTRY,
    "alertmanager": ALERTMANAGER,
    "grafana": GRAFANA,
    "pagerduty": PAGERDUTY,
    "stripe": STRIPE,
    "standard_webhooks": STANDARD,
}
NUMBERS = {"id", "number", "minor", "other", "user_id", "user2_id", "epoch", "repo_id", "cents",
           "line", "line2", "value"}  # fmt: skip


def body_expression(preset: str) -> str:
    """SQL for the body of an event of that preset: one concatenation of constants and columns."""
    template = json.dumps(TEMPLATES[preset], separators=(",", ":"))
    for name in NUMBERS:  # a mark alone in quotes stands for a JSON number
        template = template.replace(f'"<<{name}>>"', f"<<{name}>>")
    parts = []
    for place, part in enumerate(MARK.split(template)):
        if place % 2:
            parts.append(f"CAST({MARKS[part]} AS VARCHAR)")
        elif part:
            parts.append("'" + part.replace("'", "''") + "'")
    return "concat(" + ", ".join(parts) + ")"

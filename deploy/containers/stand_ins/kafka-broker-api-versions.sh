#!/bin/bash
exec /opt/java/bin/java -Xmx64m -cp "/opt/kafka/libs/*" org.apache.kafka.tools.BrokerApiVersionsCommand "$@"

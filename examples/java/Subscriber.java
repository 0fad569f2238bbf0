import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Keeps who holds which role and may use which application. Run: java Subscriber HOST:PORT [--once] */
public class Subscriber {
    static final String STATE = "iacs.directory.state.v1", EVENTS = "iacs.directory.v1";
    static final List<String> ROLE = List.of("person_id", "role", "place_id");
    static final List<String> ENTITLEMENT = List.of("person_id", "application", "assignment_id");
    static final Map<String, List<String>> KINDS = Map.of(
            "iacs.directory.role_assignment.state.v1", ROLE,
            "iacs.directory.role.granted.v1", ROLE,
            "iacs.directory.role.ended.v1", ROLE,
            "iacs.directory.entitlement.state.v1", ENTITLEMENT,
            "iacs.directory.entitlement.granted.v1", ENTITLEMENT,
            "iacs.directory.entitlement.ended.v1", ENTITLEMENT);
    static final ObjectMapper JSON = new ObjectMapper();

    /** Up to where we know a subject: the scope's last event that counted, then the record's version. */
    record At(long event, long version) {
        boolean isAfter(At other) {
            return other == null || event > other.event || (event == other.event && version > other.version);
        }
    }

    final String servers;
    final Map<String, String> held = new HashMap<>(); // By subject: person, role or application, where or on what.
    final Map<String, At> known = new HashMap<>(); // By subject.
    final Map<String, Long> last = new HashMap<>(); // By source: the number of its last event.

    Subscriber(String servers) {
        this.servers = servers;
    }

    void run(boolean once) throws Exception {
        read(STATE, true);
        read(EVENTS, once);
    }

    void read(String topic, boolean toEnd) throws Exception {
        // No group, nothing committed: each start reads everything, and ends with the same.
        Map<String, Object> settings = Map.of("bootstrap.servers", servers, "enable.auto.commit", false);
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<byte[], byte[]>(settings, bytes, bytes)) {
            List<TopicPartition> places = consumer.partitionsFor(topic).stream()
                    .map(found -> new TopicPartition(topic, found.partition()))
                    .toList();
            consumer.assign(places);
            consumer.seekToBeginning(places);
            Map<TopicPartition, Long> ends = consumer.endOffsets(places);
            while (!toEnd || places.stream().anyMatch(place -> consumer.position(place) < ends.get(place))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    take(record);
                }
            }
        }
    }

    void take(ConsumerRecord<byte[], byte[]> record) throws Exception {
        Map<String, String> ce = new HashMap<>();
        for (Header header : record.headers()) {
            ce.put(header.key(), new String(header.value(), StandardCharsets.UTF_8));
        }
        if (ce.containsKey("ce_sequence")) {
            String source = ce.get("ce_source");
            long number = Long.parseLong(ce.get("ce_sequence"));
            if (number > last.getOrDefault(source, number - 1) + 1) {
                read(STATE, true); // A gap: we missed something, the state did not.
            }
            last.merge(source, number, Math::max);
        }
        String type = ce.getOrDefault("ce_type", "");
        if (!KINDS.containsKey(type)) {
            return; // Not about access, or younger than this program.
        }
        String subject = ce.get("ce_subject");
        String event = ce.getOrDefault("ce_sequence", ce.get("ce_asofsequence"));
        At at = new At(Long.parseLong(event), Long.parseLong(ce.getOrDefault("ce_entityversion", "0")));
        if (!at.isAfter(known.get(subject))) {
            return; // A repeat, or an event that the state counts already.
        }
        known.put(subject, at);
        JsonNode body = record.value() == null ? JSON.createObjectNode() : JSON.readTree(record.value());
        boolean isHeld = type.endsWith(".granted.v1") || body.path("status").asText().equals("active");
        if (isHeld && !held.containsKey(subject)) {
            List<String> words = KINDS.get(type).stream().map(name -> body.get(name).asText()).toList();
            held.put(subject, String.join(" ", words));
            System.out.println("+ " + held.get(subject));
        } else if (!isHeld && held.containsKey(subject)) {
            System.out.println("- " + held.remove(subject));
        }
    }

    public static void main(String[] words) throws Exception {
        new Subscriber(words[0]).run(Arrays.asList(words).contains("--once"));
    }
}
